//! The `haagent` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(haagent::cli::main(std::env::args_os()))
}
