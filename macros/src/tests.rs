//! What the macros answer, on the level of tokens. That the answers compile and run is tested where
//! they can: in `tests/` of the `tractor` package.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{File, Item};

use crate::endpoint::{self, Kind};
use crate::entry;

fn rpc(args: TokenStream, item: TokenStream) -> File {
    syn::parse2(endpoint::expand(Kind::Rpc, args, item)).expect("items")
}

fn context(item: TokenStream) -> File {
    syn::parse2(endpoint::expand(Kind::Context, TokenStream::new(), item)).expect("items")
}

fn stream(item: TokenStream) -> File {
    syn::parse2(endpoint::expand(Kind::Stream, TokenStream::new(), item)).expect("items")
}

/// The texts of the `compile_error!`s.
fn errors(file: &File) -> Vec<String> {
    let texts = file.items.iter().filter_map(|item| match item {
        Item::Macro(it) if it.mac.path.segments.last()?.ident == "compile_error" => {
            Some(it.mac.parse_body::<syn::LitStr>().expect("a text").value())
        }
        _ => None,
    });
    texts.collect()
}

#[track_caller]
fn refused(file: &File, part: &str) {
    let errors = errors(file);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains(part), "{errors:?}");
    let added = file.items.iter().any(|item| matches!(item, Item::Struct(_) | Item::Const(_)));
    assert!(!added, "a refused fn has no struct");
}

fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string().replace(' ', "")
}

fn structure(file: &File) -> String {
    assert_eq!(errors(file), Vec::<String>::new());
    let structure = file.items.iter().find_map(|item| match item {
        Item::Struct(it) => Some(text(&it.vis) + &text(&it.fields)),
        _ => None,
    });
    structure.expect("a struct")
}

#[test]
fn parameters_become_fields() {
    let none = quote!();
    let file = rpc(
        none.clone(),
        quote!(
            async fn f() {}
        ),
    );
    assert_eq!(structure(&file), "{}");
    let file = rpc(
        none.clone(),
        quote!(
            pub async fn f(mut a: u8, r#type: Option<T>) {}
        ),
    );
    assert_eq!(structure(&file), "pub{puba:u8,pubr#type:Option<T>}");
    let file = rpc(
        none,
        quote!(
            async fn f(a: &str, b: &[u8], c: &(T), d: &Path) {}
        ),
    );
    let path = "<Pathas::std::borrow::ToOwned>::Owned";
    let fields = format!("{{a:::std::string::String,b:::std::vec::Vec<u8>,c:T,d:{path}}}");
    assert_eq!(structure(&file), fields);
}

#[test]
fn attributes_of_parameters_move() {
    let item = quote!(
        async fn f(
            #[serde(default)]
            #[allow(unused)]
            a: u8,
            #[cfg(unix)] b: u8,
        ) {
        }
    );
    let file = rpc(quote!(), item);
    assert_eq!(structure(&file), "{#[serde(default)]a:u8,#[cfg(unix)]b:u8}");
    let Item::Fn(function) = &file.items[0] else { panic!("the fn comes first") };
    let inputs = text(&function.sig.inputs);
    assert_eq!(inputs.trim_end_matches(','), "#[allow(unused)]a:u8,#[cfg(unix)]b:u8");
    let all = text(&file);
    assert!(all.contains("#[cfg(all(not(all(unix))))]letcall=f(this.a);"), "{all}");
    assert!(all.contains("#[cfg(all(all(unix)))]letcall=f(this.a,this.b);"), "{all}");
}

#[test]
fn cfg_of_the_fn_is_on_all_of_it() {
    let file = rpc(
        quote!(),
        quote!(
            #[cfg(unix)]
            async fn f() {}
        ),
    );
    assert_eq!(text(&file).matches("#[cfg(unix)]").count(), file.items.len());
}

#[test]
fn names_on_the_wire() {
    let all = text(&rpc(
        quote!(ns = "a.b", name = "c"),
        quote!(
            async fn f() {}
        ),
    ));
    assert!(all.contains(r#"ns:"a.b",name:"c""#), "{all}");
    let all = text(&rpc(
        quote!(),
        quote!(
            async fn r#move() {}
        ),
    ));
    assert!(all.contains(r#"ns:::core::module_path!(),name:"move""#), "{all}");
    let all = text(&rpc(
        quote!(crate = "crate::vendored"),
        quote!(
            async fn f() {}
        ),
    ));
    assert!(all.contains("crate::vendored::__private::Rpcforf"), "{all}");
    assert!(!all.contains("::tractor"), "{all}");
}

#[test]
fn context_parameter_is_no_field() {
    let file = context(quote!(
        async fn f(ctx: tractor::Context<A, B, C>, x: u8) {}
    ));
    assert_eq!(structure(&file), "{x:u8}");
    let types = "typeStarted=A;typeToParent=B;typeFromParent=C;";
    assert!(text(&file).contains(types));
    assert_eq!(
        structure(&context(quote!(
            async fn f(_: Context<A, B, C>) {}
        ))),
        "{}"
    );
}

#[test]
fn refused_signatures() {
    let cases = [
        ("fn f() {}", "`async fn`"),
        ("async fn f<T>(a: T) {}", "generic"),
        ("async fn f<'a>(a: &'a str) {}", "lifetime"),
        ("async fn f() where u8: Copy {}", "where"),
        ("async unsafe fn f() {}", "unsafe"),
        ("async extern \"C\" fn f() {}", "`extern`"),
        ("async fn f(&self) {}", "`self`"),
        ("async fn f((a, b): (u8, u8)) {}", "plain identifier"),
        ("async fn f(_: u8) {}", "plain identifier"),
        ("async fn f(ref a: u8) {}", "plain identifier"),
        ("async fn f(a: impl Copy) {}", "`impl Trait`"),
        ("async fn f(a: Vec<impl Copy>) {}", "`impl Trait`"),
        ("async fn f(a: &mut u8) {}", "`&mut`"),
        ("async fn f(a: &'static str) {}", "`'static`"),
        ("async fn f(a: Option<&str>) {}", "outermost"),
        ("async fn f(a: Cow<'_, str>) {}", "'static"),
        ("async fn f(a: Box<dyn Fn()>) {}", "`dyn Trait`"),
        ("async fn f() -> impl Copy {}", "`impl Trait`"),
        ("async fn f() -> Result<impl Copy, E> {}", "`impl Trait`"),
        ("async fn f() -> Vec<&'static str> {}", "outermost"),
        ("async fn f() -> ! {}", "`!`"),
    ];
    for (item, part) in cases {
        refused(&rpc(quote!(), item.parse().expect("tokens")), part);
    }
    let file = endpoint::expand(
        Kind::Rpc,
        quote!(),
        quote!(
            struct S;
        ),
    );
    assert!(file.to_string().contains("goes on a free async fn"));
}

#[test]
fn refused_contexts() {
    let missing = "Context<S, O, I>";
    let cases = [
        ("async fn f() {}", missing),
        ("async fn f(a: u8) {}", missing),
        ("async fn f(ctx: Context<A, B>) {}", missing),
        ("async fn f(ctx: &Context<A, B, C>) {}", "by value"),
        ("async fn f(ctx: Context<A, B, &str>) {}", "owned"),
        ("async fn f(&self, ctx: Context<A, B, C>) {}", "`self`"),
        ("async fn f(Context(a): Context<A, B, C>) {}", "plain identifier"),
        ("fn f(ctx: Context<A, B, C>) {}", "`async fn`"),
    ];
    for (item, part) in cases {
        refused(&context(item.parse().expect("tokens")), part);
    }
}

#[test]
fn streams_in_both_forms() {
    let sends = stream(quote!(
        async fn f(mut out: tractor::SendHalf<T>, x: &str) -> Result<(), E> {}
    ));
    assert_eq!(structure(&sends), "{x:::std::string::String}");
    let all = text(&sends).replace("::tractor::__private::", "");
    assert!(all.contains("implStreamEndpointforf{typeItem=T;"), "{all}");
    assert!(all.contains("asyncfncall(self,first:SendHalf<Self::Item>"), "{all}");
    assert!(all.contains("letcall=f(first,&this.x);"), "{all}");
    assert!(all.contains("Endpoint::stream::<f>()"), "{all}");
    assert_eq!(
        structure(&stream(quote!(
            async fn f(_: SendHalf<T>) {}
        ))),
        "{}"
    );

    let returns = stream(quote!(
        fn f(x: u8) -> impl Stream<Item = (u8, T)> + Send {}
    ));
    assert_eq!(structure(&returns), "{x:u8}");
    let all = text(&returns).replace("::tractor::__private::", "");
    assert!(all.contains("implStreamEndpointforf{typeItem=(u8,T);"), "{all}");
    assert!(all.contains("letcall=f(this.x);"), "{all}");
    assert!(all.contains("forward::<_,Self::Item>(call,first,|item|"), "{all}");
    for (item, sent) in [
        (quote!(&'static str), "<stras::std::borrow::ToOwned>::Owned"),
        (quote!(Result<T, E>), "<Result<T,E>asFallible<{__TRACTOR_CHECKED}>>::Ok"),
        (quote!(T), "<TasChecked<{__TRACTOR_CHECKED}>>::Same"),
    ] {
        let all = text(&stream(quote!(fn f() -> impl 'static + a::Stream<Item = #item> {})));
        let all = all.replace("::tractor::__private::", "");
        assert!(all.contains(&format!("typeItem={sent};")), "{all}");
    }
}

/// The reference's case of that id: no context, no stream; and the fn is named.
#[test]
fn legacy_01_must_define_ctx() {
    let text = "`no_ctx` is no stream: its first parameter is its sending half";
    refused(
        &stream(quote!(
            async fn no_ctx(n: u8) {}
        )),
        text,
    );
    structure(&stream(quote!(
        async fn has_ctx(ctx: SendHalf<u8>, n: u8) {}
    )));
}

#[test]
fn refused_streams() {
    let neither = "`f` is no stream: its first parameter is its sending half";
    let cases = [
        ("async fn f() {}", neither),
        ("async fn f(n: u8) -> Result<()> {}", neither),
        ("fn f() -> Vec<u8> {}", neither),
        ("fn f() -> impl Iterator<Item = u8> {}", neither),
        ("async fn f(n: u8, out: SendHalf<u8>) {}", "is the first parameter"),
        ("async fn f(out: &mut SendHalf<u8>) {}", "by value"),
        ("async fn f(out: SendHalf) {}", "what it sends"),
        ("async fn f(out: SendHalf<&str>) {}", "owned"),
        ("async fn f(#[allow(a)] out: SendHalf<u8>) {}", "attributes"),
        ("async fn f((a): SendHalf<u8>, (b, c): (u8, u8)) {}", "plain identifier"),
        ("async fn f(S { a }: SendHalf<u8>) {}", "plain identifier"),
        ("fn f(out: SendHalf<u8>) {}", "`async fn`"),
        ("async fn f(out: SendHalf<u8>) -> u8 {}", "it returns `()`"),
        ("async fn f(out: SendHalf<u8>) -> Alias {}", "it returns `()`"),
        ("fn f(out: SendHalf<u8>) -> impl Stream<Item = u8> {}", "not both"),
        ("async fn f() -> impl Stream<Item = u8> {}", "is not `async`"),
        ("fn f() -> impl Stream {}", "what it yields"),
        ("fn f() -> impl Stream<Item = &mut u8> {}", "by value"),
        ("fn f() -> impl Stream<Item = Option<&u8>> {}", "outermost"),
        ("fn f() -> impl Stream<Item = impl Copy> {}", "`impl Trait`"),
        ("fn f<T>() -> impl Stream<Item = T> {}", "generic"),
        ("fn f(&self) -> impl Stream<Item = u8> {}", "`self`"),
        ("fn f(_: u8) -> impl Stream<Item = u8> {}", "plain identifier"),
        ("unsafe fn f() -> impl Stream<Item = u8> {}", "unsafe"),
    ];
    for (item, part) in cases {
        refused(&stream(item.parse().expect("tokens")), part);
    }
    let file = endpoint::expand(
        Kind::Stream,
        quote!(),
        quote!(
            static S: u8 = 0;
        ),
    );
    assert!(file.to_string().contains("`#[stream]` goes on a free fn"), "{file}");
}

#[test]
fn refused_arguments() {
    let cases = [
        (quote!(names = "a"), "unknown argument"),
        (quote!(timeout = 3), "unknown argument"),
        (quote!(ns = "a", ns = "b"), "twice"),
        (quote!(ns = ""), "empty"),
        (quote!(ns = 3), "in quotes"),
        (quote!(ns), "needs a value"),
        (quote!("ns"), "`name = value`"),
        (quote!(crate = "a b"), ""),
    ];
    for (args, part) in cases {
        refused(
            &rpc(
                args,
                quote!(
                    async fn f() {}
                ),
            ),
            part,
        );
    }
}

#[test]
fn too_many_conditions() {
    let params = (0..5).map(|n| {
        let name = quote::format_ident!("p{n}");
        quote!(#[cfg(unix)] #name: u8)
    });
    refused(&rpc(quote!(), quote!(async fn f(#(#params),*) {})), "at most 4");
}

#[test]
fn results() {
    let output = |ty: TokenStream| {
        let all = text(&rpc(quote!(), quote!(async fn f() -> #ty {})));
        all.split_once("typeOutput=")
            .and_then(|(_, rest)| rest.split_once(';'))
            .expect("a type")
            .0
            .replace("::tractor::__private::", "")
    };
    assert_eq!(output(quote!((u8, T))), "(u8,T)");
    assert_eq!(output(quote!(&'static str)), "<stras::std::borrow::ToOwned>::Owned");
    assert_eq!(output(quote!(io::Result<&'static str>)), "<stras::std::borrow::ToOwned>::Owned");
    assert_eq!(output(quote!(T)), "<TasChecked<{__TRACTOR_CHECKED}>>::Same");
    let ok = "<MyResultasFallible<{__TRACTOR_CHECKED}>>::Ok";
    assert_eq!(output(quote!(MyResult)), ok);
}

#[test]
fn main_hands_over() {
    let main = |args, item| entry::expand_main(args, item).to_string().replace(' ', "");
    let item = quote!(
        #[doc = "x"]
        async fn main() -> R {
            b()
        }
    );
    let run = |executor: &str| {
        let run = format!("::tractor::__private::run_main({executor},main)");
        format!("#[doc=\"x\"]fnmain()->R{{asyncfnmain()->R{{b()}}{run}}}")
    };
    assert_eq!(main(quote!(executor = "smol"), item.clone()), run("\"smol\""));
    assert_eq!(main(quote!(), item), run("::tractor::__private::DEFAULT_EXECUTOR"));
    for (args, item, part) in [
        (
            quote!(),
            quote!(
                fn main() {}
            ),
            "asyncfn",
        ),
        (
            quote!(),
            quote!(
                async fn main(a: u8) {}
            ),
            "noparameters",
        ),
        (
            quote!(),
            quote!(
                async fn other() {}
            ),
            "goesontheprogram's`main`",
        ),
        (
            quote!(),
            quote!(
                struct S;
            ),
            "goesonanasyncfn",
        ),
        (
            quote!(executor = "x"),
            quote!(
                async fn main() {}
            ),
            "unknownexecutor",
        ),
    ] {
        let answer = main(args, item);
        assert!(answer.contains(part) && answer.ends_with("fnmain(){}"), "{answer}");
    }
}

#[test]
fn test_hands_over() {
    let test = |args, item| entry::expand_test(args, item).to_string().replace(' ', "");
    let item = quote!(
        #[should_panic]
        async fn t() {
            b()
        }
    );
    let answer = test(quote!(timeout = 2.5), item.clone());
    assert!(answer.starts_with("#[should_panic]#[::core::prelude::v1::test]fnt(){asyncfnt(){b()}"));
    assert!(answer.contains("timeout:::core::time::Duration::new(2u64,500000000u32)"), "{answer}");
    assert!(answer.contains("name:\"t\""), "{answer}");
    assert!(test(quote!(), item.clone()).contains("timeout:::tractor::__private::TEST_TIMEOUT"));
    for bad in [quote!(timeout = 0), quote!(timeout = "3"), quote!(timeout = -1), quote!(time = 1)]
    {
        assert!(test(bad, item.clone()).contains("compile_error!"));
    }
}

#[test]
fn test_is_one_for_each_executor_and_link() {
    let test = |args, item| entry::expand_test(args, item).to_string().replace(' ', "");
    let item = quote!(
        #[should_panic]
        #[cfg(unix)]
        async fn t() -> R {
            b()
        }
    );
    let answer = test(
        quote!(executors = ["smol", "tokio-multi-thread"], links = ["uds", "tcp"], timeout = 1),
        item.clone(),
    );
    assert!(answer.starts_with("#[cfg(unix)]asyncfnt()->R{b()}#[cfg(unix)]modt{"), "{answer}");
    let attributes = "#[should_panic]#[cfg(unix)]#[::core::prelude::v1::test]";
    for (feature, name, link) in [
        ("smol", "smol_uds", "uds"),
        ("smol", "smol_tcp", "tcp"),
        ("tokio", "tokio_multi_thread_uds", "uds"),
        ("tokio", "tokio_multi_thread_tcp", "tcp"),
    ] {
        let one = format!("::tractor::__if_{feature}!{{{attributes}fn{name}()->R{{");
        assert!(answer.contains(&one), "{name}: {answer}");
        assert!(answer.contains(&format!("name:\"{name}\"")), "{name}: {answer}");
        assert!(answer.contains(&format!("link:\"{link}\"")), "{name}: {answer}");
    }
    assert_eq!(answer.matches("super::t").count(), 4);
    let all = test(quote!(matrix), item.clone());
    assert_eq!(all.matches("super::t").count(), 9);
    let links = test(quote!(links = ["uds"]), item.clone());
    assert!(links.contains("fnuds()") && links.contains("DEFAULT_EXECUTOR"), "{links}");
    for (bad, part) in [
        (quote!(executors = []), "nameatleastoneexecutor"),
        (quote!(executors = ["smol", "smol"]), "giventwice"),
        (quote!(links = ["quic"]), "unknownlink"),
        (quote!(matrix, links = ["uds"]), "leavethelistsout"),
    ] {
        let answer = test(bad, item.clone());
        assert!(answer.contains("compile_error!") && answer.contains(part), "{answer}");
    }
}

fn remote(tokens: TokenStream) -> File {
    syn::parse2(crate::remote::expand(tokens)).expect("items")
}

#[test]
fn a_declared_function_has_its_wire_names() {
    let file = remote(quote! {
        crate "crate::vendored";
        ns "pkg.mod";
        pub async fn add(a: u64, #[serde(rename = "type")] b: &str) -> u64 = "import";
    });
    assert_eq!(
        structure(&file),
        "pub{puba:u64,#[serde(rename=\"type\")]pubb:::std::string::String}"
    );
    let all = text(&file);
    for part in ["ns:\"pkg.mod\"", "name:\"import\"", "impl", "::vendored::__private::Rpc"] {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert!(!all.contains("submit!"), "nobody here can be asked for it");
}

#[test]
fn declarations_that_are_none_are_refused() {
    for (tokens, part) in [
        (
            quote!(
                async fn f();
            ),
            "in which namespace",
        ),
        (quote!(ns pkg; async fn f();), "a text in quotes"),
        (quote!(ns ""; async fn f();), "must not be empty"),
        (quote!(ns "m"; fn f();), "expected `ns"),
        (quote!(ns "m"; async fn f() -> Result<u64>;), "goes without saying"),
        (quote!(ns "m"; async fn f() -> &u64 = "";), "must not be empty"),
        (quote!(ns "m"; async fn f(&self);), "can't take `self`"),
        (quote!(ns "m"; context c();), "four types"),
        (quote!(ns "m"; context c() -> (u64, u64, u64);), "four types"),
        (quote!(ns "m"; context c() -> (u64, u64, u64, impl Copy);), "can't use `impl Trait`"),
        (quote!(ns "m"; stream s();), "what it yields"),
        (quote!(ns "m"; stream s() -> _;), "names its types"),
    ] {
        refused(&remote(tokens), part);
    }
}
