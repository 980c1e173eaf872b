//! The gateway from outside: bytes in and bytes out, on real sockets.

#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]

<<<<<<< HEAD
mod conformance;
mod protocol;
=======
mod http;
mod http_door;
mod http_site;
>>>>>>> c983031e1f044e3c4fe5691a61c15f40f0a5ec42
mod smoke;
mod support;
