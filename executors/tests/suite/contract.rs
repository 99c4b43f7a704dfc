// What the runtime relies on in any executor. `make` is the one at hand.

#[test]
fn the_clock_does_not_go_back() {
    let (one, other) = (make(), make());
    let first = one.now();
    let second = other.now();
    assert!(first <= second && second <= one.now());
}

#[test]
fn a_timer_fires_at_its_time_and_is_disarmed_then() {
    let executor = make();
    run(&executor, async {
        let mut timer = executor.timer();
        let at = executor.now() + 5 * MS;
        timer.set(Some(at));
        expired(&mut *timer).await;
        assert!(executor.now() >= at);
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
    });
}

#[test]
fn a_timer_armed_in_the_past_is_ready_at_once() {
    let executor = make();
    run(&executor, async {
        let mut timer = executor.timer();
        timer.set(Some(Duration::ZERO));
        assert_eq!(poll_once(&mut *timer).await, Poll::Ready(()));
    });
}

#[test]
fn a_timer_is_rearmed_earlier() {
    let executor = make();
    run(&executor, async {
        let mut timer = executor.timer();
        timer.set(Some(executor.now() + HANG));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(Some(executor.now() + 5 * MS));
        let begun = executor.now();
        expired(&mut *timer).await;
        assert!(executor.now() - begun < HANG / 2);
    });
}

#[test]
fn a_timer_is_rearmed_later() {
    let executor = make();
    run(&executor, async {
        let mut timer = executor.timer();
        timer.set(Some(executor.now() + 2 * MS));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        let at = executor.now() + 30 * MS;
        timer.set(Some(at));
        expired(&mut *timer).await;
        assert!(executor.now() >= at, "the first arming must not count");
    });
}

#[test]
fn a_disarmed_timer_does_not_fire() {
    let executor = make();
    run(&executor, async {
        let (mut timer, mut clock) = (executor.timer(), executor.timer());
        timer.set(Some(executor.now() + 2 * MS));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(None);
        clock.set(Some(executor.now() + 10 * MS));
        expired(&mut *clock).await;
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(Some(executor.now() + MS));
        expired(&mut *timer).await;
    });
}

#[test]
fn a_timer_for_ever_never_fires() {
    let executor = make();
    run(&executor, async {
        let mut timer = executor.timer();
        timer.set(Some(Duration::MAX));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(Some(executor.now() + MS));
        expired(&mut *timer).await;
    });
}

#[test]
fn a_timer_wakes_the_last_waker_it_was_polled_with() {
    struct Tell(mpsc::Sender<()>);
    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let executor = make();
    let mut timer = executor.timer();
    let (told, tells) = mpsc::channel();
    timer.set(Some(executor.now() + 30 * MS));
    assert!(timer.poll_expired(&mut Context::from_waker(Waker::noop())).is_pending());
    let waker = Waker::from(Arc::new(Tell(told)));
    assert!(timer.poll_expired(&mut Context::from_waker(&waker)).is_pending());
    tells.recv_timeout(HANG).unwrap();
    assert!(timer.poll_expired(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn timers_and_descriptors_are_seen_while_tasks_never_rest() {
    let executor = make();
    let (reader, writer) = pipe();
    let watch = executor.watch(Arc::new(reader)).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let busy = Arc::clone(&over);
    run(&executor, async {
        executor.spawn(Box::pin(async move {
            while !busy.load(Ordering::Relaxed) {
                futures_lite::future::yield_now().await;
            }
        }));
        let mut timer = executor.timer();
        timer.set(Some(executor.now() + 5 * MS));
        expired(&mut *timer).await;
        rustix::io::write(&writer, b"x").unwrap();
        ready(&executor, &*watch, Direction::Read).await;
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_panic_in_a_task_ends_only_that_task() {
    let executor = make();
    let (tell, told) = async_pair();
    run(&executor, async {
        executor.spawn(Box::pin(async { panic!("expected in this test") }));
        executor.spawn(Box::pin(async move { tell.send(7) }));
        assert_eq!(told.recv().await, 7);
    });
}

#[test]
fn a_task_left_by_block_on_goes_on_after_it() {
    let executor = make();
    let (done, ended) = mpsc::channel();
    run(&executor, async {
        let mut timer = executor.timer();
        timer.set(Some(executor.now() + 5 * MS));
        executor.spawn(Box::pin(async move {
            expired(&mut *timer).await;
            done.send(()).unwrap();
        }));
    });
    ended.recv_timeout(HANG).unwrap();
}

#[test]
fn many_short_block_ons_lose_no_task() {
    let executor = Arc::new(make());
    let (done, ended) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (executor, done) = (Arc::clone(&executor), done.clone());
            thread::spawn(move || {
                for _ in 0..500 {
                    let outside = done.clone();
                    executor.spawn(Box::pin(async move { outside.send(()).unwrap() }));
                    let inside = done.clone();
                    run(&*executor, async {
                        executor.spawn(Box::pin(async move { inside.send(()).unwrap() }));
                    });
                }
            })
        })
        .collect();
    for _ in 0..4000 {
        ended.recv_timeout(HANG).unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn dropping_the_executor_drops_its_tasks() {
    let executor = make();
    let (held, dropped) = mpsc::channel::<()>();
    let (started, start) = mpsc::channel();
    executor.spawn(Box::pin(async move {
        let _held = held;
        started.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    start.recv_timeout(HANG).unwrap();
    drop(executor);
    assert_eq!(dropped.recv_timeout(HANG), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_watched_pipe_tells_when_it_is_readable() {
    let executor = make();
    let (reader, writer) = pipe();
    let reader = Arc::new(reader);
    let watch = executor.watch(Arc::clone(&reader)).unwrap();
    run(&executor, async {
        let first = poll_fn(|cx| Poll::Ready(watch.poll_readable(cx).is_ready())).await;
        assert!(!first, "nothing was written yet");
        executor.spawn(Box::pin(async move {
            rustix::io::write(&writer, b"x").unwrap();
        }));
        poll_fn(|cx| watch.poll_readable(cx)).await.unwrap();
    });
    let mut buf = [0; 4];
    assert_eq!(rustix::io::read(&*reader, &mut buf).unwrap(), 1);
    assert!(rustix::fs::fcntl_getfl(&*reader).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
}

#[test]
fn a_watch_is_rearmed_while_there_is_something_to_read() {
    let executor = make();
    let (reader, writer) = pipe();
    rustix::io::write(&writer, b"xyz").unwrap();
    let watch = executor.watch(Arc::new(reader)).unwrap();
    run(&executor, async {
        for _ in 0..3 {
            poll_fn(|cx| watch.poll_readable(cx)).await.unwrap();
        }
    });
}

#[test]
fn a_watched_pipe_tells_of_its_end_and_of_room() {
    let executor = make();
    let (reader, writer) = pipe();
    let reads = executor.watch(Arc::new(reader)).unwrap();
    let writes = executor.watch(Arc::new(writer)).unwrap();
    run(&executor, async {
        poll_fn(|cx| writes.poll_writable(cx)).await.unwrap();
        drop(writes);
        poll_fn(|cx| reads.poll_readable(cx)).await.unwrap();
    });
}

#[test]
fn a_descriptor_is_watched_once() {
    let executor = make();
    let (reader, _writer) = pipe();
    let reader = Arc::new(reader);
    let watch = executor.watch(Arc::clone(&reader)).unwrap();
    assert!(executor.watch(Arc::clone(&reader)).is_err());
    drop(watch);
    assert!(executor.watch(reader).is_ok());
}

#[test]
fn an_event_between_an_attempt_and_its_answer_is_kept() {
    let executor = make();
    let (reader, writer) = pipe();
    let reader = Arc::new(reader);
    let watch = executor.watch(Arc::clone(&reader)).unwrap();
    run(&executor, async {
        for _ in 0..200 {
            rustix::io::write(&writer, b"x").unwrap();
            poll_fn(|cx| watch.poll_readable(cx)).await.unwrap();
            let read = watch.try_io(Direction::Read, &mut || {
                let read = rustix::io::read(&*reader, &mut [0; 4])?;
                assert_eq!(read, 1);
                // Comes after the pipe was found empty, and before that is told.
                rustix::io::write(&writer, b"y").unwrap();
                Err(io::ErrorKind::WouldBlock.into())
            });
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            poll_fn(|cx| watch.poll_readable(cx)).await.unwrap();
            let mut read = || Ok(rustix::io::read(&*reader, &mut [0; 4])?);
            assert_eq!(watch.try_io(Direction::Read, &mut read).unwrap(), 1);
        }
    });
}

#[test]
fn a_descriptor_is_tried_before_anything_is_known_of_it() {
    let executor = make();
    let (_reader, writer) = pipe();
    let writer = Arc::new(writer);
    let watch = executor.watch(Arc::clone(&writer)).unwrap();
    let mut write = || Ok(rustix::io::write(&*writer, b"x")?);
    assert_eq!(watch.try_io(Direction::Write, &mut write).unwrap(), 1);
}

#[test]
fn an_end_that_comes_with_the_last_bytes_is_told_after_them() {
    let executor = make();
    run(&executor, async {
        for _ in 0..20 {
            let (reader, writer) = rustix::net::socketpair(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::STREAM,
                rustix::net::SocketFlags::CLOEXEC,
                None,
            )
            .unwrap();
            let reader = Arc::new(reader);
            let watch = executor.watch(Arc::clone(&reader)).unwrap();
            rustix::io::write(&writer, b"last").unwrap();
            drop(writer);
            ready(&executor, &*watch, Direction::Read).await;
            let emptied = watch.try_io(Direction::Read, &mut || {
                assert_eq!(rustix::io::read(&*reader, &mut [0; 64])?, 4);
                Err(io::ErrorKind::WouldBlock.into())
            });
            emptied.unwrap_err();
            ready(&executor, &*watch, Direction::Read).await;
            let mut read = || Ok(rustix::io::read(&*reader, &mut [0; 64])?);
            assert_eq!(watch.try_io(Direction::Read, &mut read).unwrap(), 0);
        }
    });
}

#[test]
fn a_full_descriptor_tells_when_there_is_room_again() {
    let executor = make();
    let (reader, writer) = pipe();
    let (reader, writer) = (Arc::new(reader), Arc::new(writer));
    let reads = executor.watch(Arc::clone(&reader)).unwrap();
    let writes = executor.watch(Arc::clone(&writer)).unwrap();
    run(&executor, async {
        for _ in 0..50 {
            let mut write = || Ok(rustix::io::write(&*writer, &[0; 4096])?);
            let full = loop {
                if let Err(error) = writes.try_io(Direction::Write, &mut write) {
                    break error;
                }
            };
            assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
            let room = poll_fn(|cx| Poll::Ready(writes.poll_writable(cx).is_ready())).await;
            assert!(!room, "it is full");
            let mut read = || Ok(rustix::io::read(&*reader, &mut [0; 1 << 16])?);
            while reads.try_io(Direction::Read, &mut read).is_ok() {}
            ready(&executor, &*writes, Direction::Write).await;
        }
    });
}

/// Each waits for what its neighbour writes, so all of them but one wait while another thread
/// waits for the system; and each leaves and comes back.
#[test]
fn threads_in_block_on_wake_each_other_and_come_and_go() {
    const THREADS: usize = 4;
    const LAPS: usize = 150;
    let executor = Arc::new(make());
    let (mut readers, mut writers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| pipe()).unzip();
    rustix::io::write(&writers[0], b"x").unwrap();
    writers.rotate_left(1);
    let (done, ended) = mpsc::channel();
    let threads: Vec<_> = readers
        .drain(..)
        .zip(writers)
        .enumerate()
        .map(|(place, (reader, writer))| {
            let (executor, done) = (Arc::clone(&executor), done.clone());
            thread::spawn(move || {
                let reader = Arc::new(reader);
                let watch = executor.watch(Arc::clone(&reader)).unwrap();
                let lap = async || {
                    let mut read = || Ok(rustix::io::read(&*reader, &mut [0; 1])?);
                    while let Err(error) = watch.try_io(Direction::Read, &mut read) {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        ready(&*executor, &*watch, Direction::Read).await;
                    }
                    let mut timer = executor.timer();
                    timer.set(Some(executor.now() + MS / 20));
                    expired(&mut *timer).await;
                    // The neighbour may be through with its laps.
                    let _ = rustix::io::write(&writer, b"x");
                };
                if place % 2 == 0 {
                    (0..LAPS).for_each(|_| run(&*executor, lap()));
                } else {
                    run(&*executor, async {
                        for _ in 0..LAPS {
                            lap().await;
                        }
                    });
                }
                done.send(()).unwrap();
            })
        })
        .collect();
    for thread in threads {
        ended.recv_timeout(HANG).unwrap();
        drop(thread);
    }
}
