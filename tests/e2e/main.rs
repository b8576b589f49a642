//! What a customer gets, tested as they get it: the real programs, real sockets, real files, real signals.
