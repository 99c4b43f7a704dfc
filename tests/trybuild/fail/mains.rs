//! What `#[tractor::main]` refuses.

#![allow(unused)]

mod not_async {
    #[tractor::main]
    fn main() {}
}

mod with_parameters {
    #[tractor::main]
    async fn main(args: Vec<String>) {}
}

mod generic {
    #[tractor::main]
    async fn main<T>() {}
}

mod another_name {
    #[tractor::main]
    async fn start() {}
}

mod unknown_executor {
    #[tractor::main(executor = "mine")]
    async fn main() {}
}

mod executor_without_quotes {
    #[tractor::main(executor = smol)]
    async fn main() {}
}

mod unknown_argument {
    #[tractor::main(flavor = "current_thread")]
    async fn main() {}
}

mod no_fn {
    #[tractor::main]
    struct Main;
}

fn main() {}
