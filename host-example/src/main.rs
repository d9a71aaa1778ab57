//! `catena`: correlates cloud audit logs, see `catena --help`.

#![deny(unsafe_code)]

mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
