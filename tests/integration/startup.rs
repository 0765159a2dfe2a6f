//! What keeps a node from starting: each names the offender, and the option that helps.

use std::net::TcpListener;

use spillway_tests::{Exit, Node, NodeBuilder};

async fn refused(builder: NodeBuilder) -> Exit {
    match builder.try_start().await {
        Err(exit) => exit,
        Ok(node) => panic!("it serves at {}", node.listen()),
    }
}

#[track_caller]
fn says(exit: &Exit, code: i32, parts: &[&str]) {
    assert_eq!(exit.status.code(), Some(code), "{exit:#?}");
    assert_eq!(exit.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{exit:#?}");
    for part in parts {
        assert!(exit.stderr.contains(part), "`{part}` is not in {exit:#?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_option() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("any port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for option in ["--listen", "--api"] {
        let exit = refused(Node::builder().args(&[option, &address])).await;
        says(&exit, 1, &[&address, "is taken by another process", &format!("choose another port with {option}")]);
    }
}

#[tokio::test]
async fn a_data_folder_in_use_is_named_with_the_process_that_has_it_which_serves_on() {
    let node = crate::serving::hello().await;
    let exit = refused(Node::builder().data(node.data())).await;
    let process = format!("process {}", node.pid());
    says(&exit, 1, &[&node.data().display().to_string(), "in use by another node", &process, "--data"]);
    crate::serving::untouched(&node).await;
}

#[tokio::test]
async fn a_data_folder_is_free_again_once_its_node_has_been_killed() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    node.deploy("hello").await;
    node.kill();
    crate::serving::untouched(&Node::builder().data(folder.path()).start().await).await;
}

#[tokio::test]
async fn a_data_folder_of_another_layout_is_left_alone() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    Node::builder().data(folder.path()).start().await.kill();
    std::fs::write(folder.path().join("layout"), "99\n").expect("the folder is ours");
    let exit = refused(Node::builder().data(folder.path())).await;
    says(&exit, 1, &[&folder.path().display().to_string(), "layout version 99", "reads 1", "--data"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("layout")).expect("it stays"), "99\n");
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_named() {
    let file = tempfile::NamedTempFile::new().expect("tests may write temporary files");
    let exit = refused(Node::builder().data(file.path())).await;
    says(&exit, 1, &[&file.path().display().to_string()]);
}

#[tokio::test]
async fn the_control_api_off_loopback_is_refused_without_a_token() {
    let exit = refused(Node::builder().args(&["--api", "0.0.0.0:0"])).await;
    says(&exit, 2, &["0.0.0.0:0", "SPILLWAY_TOKEN", "127.0.0.1"]);
    drop(Node::builder().args(&["--api", "0.0.0.0:0"]).token("secret").start().await);
}

#[tokio::test]
async fn a_function_whose_bundle_is_gone_is_told_of_and_the_others_serve() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    let bundle = node.deploy("plain").await.bundle.to_string();
    node.deploy("hello").await;
    node.kill();
    let hex = bundle.strip_prefix("sha256:").expect("a digest");
    let blob = find(folder.path(), hex).expect("the blob lies in a file of its name");
    std::fs::remove_file(blob).expect("the folder is ours");

    let node = Node::builder().data(folder.path()).start().await;
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    let answer = node.call("/plain/greet").await;
    answer.problem(spillway_types::ProblemType::HostFault, &["default/plain", "spillway inspect"]);
    let detail = node.get("/functions/default/plain").await;
    assert!(detail["fault"].as_str().is_some_and(|fault| fault.contains(hex)), "{detail:#}");
    node.deploy("plain").await;
    assert!(node.call("/plain/greet").await.ok().starts_with("Hello from"));
}

#[tokio::test]
async fn a_bundle_that_has_become_a_link_is_not_followed() {
    type Put = fn(&std::path::Path, &std::path::Path) -> std::io::Result<()>;
    let places: [Put; 2] = [|from, to| std::os::unix::fs::symlink(from, to), |from, to| std::fs::hard_link(from, to)];
    for place in places {
        let folder = tempfile::tempdir().expect("tests may write temporary files");
        let data = folder.path().join("data");
        let node = Node::builder().data(&data).start().await;
        let bundle = node.deploy("plain").await.bundle.to_string();
        node.deploy("hello").await;
        node.kill();
        let hex = bundle.strip_prefix("sha256:").expect("a digest");
        let blob = find(&data, hex).expect("the blob lies in a file of its name");
        // The same bytes: what they are is not the question.
        let outside = folder.path().join("outside");
        std::fs::rename(&blob, &outside).expect("the folder is ours");
        place(&outside, &blob).expect("the folder is ours");

        let node = Node::builder().data(&data).start().await;
        assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
        let fault = node.get("/functions/default/plain").await["fault"].to_string();
        assert!(fault.contains(hex) && fault.contains("link"), "{fault}");
    }
}

/// A file whose path, without slashes, ends with `name`, however it is spread over folders.
fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            return find(&path, name);
        }
        path.to_string_lossy().replace('/', "").ends_with(name).then_some(path)
    })
}
