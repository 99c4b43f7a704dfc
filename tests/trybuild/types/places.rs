//! Where an endpoint can't be, or can't be seen.

struct Calculator;

impl Calculator {
    #[tractor::rpc] //~
    async fn associated(a: u8) {} //~
}

mod inner {
    #[tractor::rpc]
    async fn private() {}
}

use inner::private; //~ private

fn main() {}
