//! What spans organizations.
