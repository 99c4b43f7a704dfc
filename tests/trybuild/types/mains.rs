//! Results that no `main` has.

#[tractor::main]
async fn main() -> u8 { //~
    1
}
