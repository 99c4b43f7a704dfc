use std::process::ExitCode;

mod renamed {
    pub use ::tractor as elsewhere;
}

#[tractor::main(crate = "crate::renamed::elsewhere")]
async fn main() -> ExitCode {
    match tractor::open_nursery(async |_| Ok(())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
