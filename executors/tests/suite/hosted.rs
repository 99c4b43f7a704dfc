// What holds besides of executors whose tasks run on the thread in `block_on`.

#[test]
fn tasks_run_on_the_thread_in_block_on() {
    let executor = make();
    let (tell, told) = async_pair();
    run(&executor, async {
        executor.spawn(Box::pin(async move { tell.send(thread::current().id()) }));
        assert_eq!(told.recv().await, thread::current().id());
    });
}

#[test]
fn a_task_spawned_from_another_thread_wakes_block_on() {
    let executor = Arc::new(make());
    let (tell, told) = async_pair();
    let (go, gone) = mpsc::channel();
    let other = thread::spawn({
        let executor = Arc::clone(&executor);
        move || {
            gone.recv().unwrap();
            executor.spawn(Box::pin(async move { tell.send(thread::current().id()) }));
        }
    });
    run(&*executor, async {
        go.send(()).unwrap();
        assert_eq!(told.recv().await, thread::current().id());
    });
    other.join().unwrap();
}

#[test]
fn without_block_on_the_helper_thread_drives() {
    let executor = make();
    let (done, ended) = mpsc::channel();
    executor.spawn(Box::pin(async { panic!("expected in this test") }));
    let mut timer = executor.timer();
    timer.set(Some(executor.now() + 2 * MS));
    executor.spawn(Box::pin(async move {
        expired(&mut *timer).await;
        done.send(thread::current().name().map(String::from)).unwrap();
    }));
    assert_eq!(ended.recv_timeout(HANG).unwrap().as_deref(), Some(HELPER));
}

#[test]
fn under_a_foreign_block_on_the_global_executor_drives() {
    let (tell, told) = async_pair();
    let value = futures_lite::future::block_on(async {
        global().spawn(Box::pin(async move { tell.send(3) }));
        told.recv().await
    });
    assert_eq!(value, 3);
}

#[test]
fn the_helper_steps_back_and_takes_over_again() {
    let executor = make();
    let (ask, asked) = mpsc::channel();
    let (wakes, task) = sync_task(ask);
    executor.spawn(Box::pin(task));
    assert_eq!(asked.recv_timeout(HANG).unwrap().as_deref(), Some(HELPER));
    for _ in 0..200 {
        let (tell, told) = async_pair();
        run(&executor, async {
            executor.spawn(Box::pin(async move { tell.send(()) }));
            told.recv().await;
        });
        wakes.wake_by_ref();
        assert_eq!(asked.recv_timeout(HANG).unwrap().as_deref(), Some(HELPER));
    }
}

#[test]
fn block_on_takes_the_tasks_from_the_helper() {
    let executor = make();
    let (started, start) = mpsc::channel();
    executor.spawn(Box::pin(async move { started.send(()).unwrap() }));
    start.recv_timeout(HANG).unwrap();
    run(&executor, async {
        // The helper may still be on its way out at first; once it is, every task runs here.
        let (begun, mut in_a_row) = (executor.now(), 0);
        while in_a_row < 400 {
            assert!(executor.now() - begun < HANG, "the helper goes on beside block_on");
            // A crowd, for one task alone is not worth waking a second thread.
            let crowd: Vec<_> = (0..50)
                .map(|_| {
                    let (tell, told) = async_pair();
                    executor.spawn(Box::pin(async move { tell.send(thread::current().id()) }));
                    told
                })
                .collect();
            let mut here = true;
            for told in crowd {
                here &= told.recv().await == thread::current().id();
            }
            in_a_row = if here { in_a_row + 1 } else { 0 };
        }
    });
}
