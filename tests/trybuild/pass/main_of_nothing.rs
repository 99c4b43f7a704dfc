#[tractor::main]
async fn main() {
    assert!(tractor::current_actor().is_err(), "a tree begins with its first nursery");
}
