-- Which token was issued is known at a start without reading tokens; [`super::migrations`] fills it in.
ALTER TABLE issued ADD COLUMN digest BLOB NOT NULL DEFAULT x'0000000000000000';
