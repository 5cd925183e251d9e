// A9: the preload. Once stamping is on and nothing is mirrored, NEW is filled by puts that look at nothing; the replay
// that makes coverage comes after the mirror is on, as ever.
fn preload(x: &mut Vec<(Cfg, bool)>) {
    let mix = || vec![op(Put), op(Del), op(Upd)];
    macro_rules! e { ($n:expr, $hold:expr, |$c:ident| $b:block) => {{ let mut $c = base($n); $c.hold_reads = false; $b; x.push(($c, $hold)); }} }
    let late = |c: &mut Cfg| { c.am.late_stamp = true; c.am.valcmp = true; c.drop_ev = true; };
    let pl = || vec![Preload { src: 0, m: 3 }];
    let stamped = || vec![Pub { m: 3, set: S, clr: 0 }, Await, Pub { m: 3, set: S2, clr: 0 }, Await];
    let mirror = || vec![Pub { m: 3, set: M, clr: 0 }, Await, Replay { src: 0, m: 3 }, Cover { s: 1, m: 3 }];
    let off = || vec![Pub { m: 3, set: 0, clr: M }, Await];
    let whole = || cat(&[stamped(), pl(), vec![Bound], mirror()]);
    // ===== as it is done
    e!("A9/preload, mirror, replay, 3 writes, timeout", true, |c| { late(&mut c); c.ops = mix(); c.timeout = 1; c.script = whole(); });
    e!("A9/preload, key absent at first", true, |c| { late(&mut c); c.init = [0, 0]; c.ops = mix(); c.timeout = 1; c.script = whole(); });
    e!("A9/preload with a re-sent batch, mirror failure", true, |c| { late(&mut c); c.ops = vec![op(Put), op(Del)]; c.timeout = 1; c.fail = 1; c.rep_to = true; c.script = cat(&[whole(), vec![Drain { src: 0, m: 3 }]]); });
    e!("A9/preload with a re-sent batch, 3 writes", true, |c| { late(&mut c); c.ops = mix(); c.rep_to = true; c.script = whole(); });
    e!("A9/preloader dies with its batch in the network, goes on", true, |c| { late(&mut c); c.ops = vec![op(Put), op(Del)]; c.am.die = 1; c.rep_to = true; c.script = whole(); });
    e!("A9/preload, node crashes", true, |c| { late(&mut c); c.ops = vec![op(Put), op(Upd)]; c.timeout = 1; c.crash = 1; c.rep_to = true; c.script = cat(&[whole(), vec![Drain { src: 0, m: 3 }]]); });
    e!("A9/preload ... up2", true, |c| { late(&mut c); c.ops = vec![op(Del), op(Upd)]; c.fail = 1; c.rep_to = true; c.script = cat(&[whole(), up2()]); });
    e!("A9/preload twice", true, |c| { late(&mut c); c.ops = vec![op(Put), op(Del)]; c.timeout = 1; c.rep_to = true; c.script = cat(&[stamped(), pl(), whole()[4..].to_vec()]); });
    // ===== a late batch
    e!("A9/X mirror-on before the bound of a re-sent batch", false, |c| { late(&mut c); c.ops = vec![op(Put)]; c.rep_to = true; c.script = cat(&[stamped(), pl(), mirror()]); });
    e!("A9/X same, the later write deletes", false, |c| { late(&mut c); c.ops = vec![op(Del)]; c.rep_to = true; c.script = cat(&[stamped(), pl(), mirror()]); });
    e!("A9/X same, deleted between preload and mirror-on", false, |c| { late(&mut c); c.ops = vec![opf(Del, 5)]; c.rep_to = true; c.script = cat(&[stamped(), pl(), mirror()]); });
    e!("A9/X mirror-on before the bound of a dead preloader's batch", false, |c| { late(&mut c); c.ops = vec![op(Put)]; c.am.die = 1; c.script = cat(&[stamped(), pl(), mirror()]); });
    e!("A9/X authority moves over a late batch", false, |c| { late(&mut c); c.check_p1 = false; c.ops = vec![op(Put)]; c.rep_to = true; c.script = cat(&[stamped(), pl(), mirror(), up2()]); });
    e!("A9/bound waited for before the replay begins, not before mirror-on", true, |c| { late(&mut c); c.ops = mix(); c.rep_to = true; c.script = cat(&[stamped(), pl(), mirror()[..2].to_vec(), vec![Bound], mirror()[2..].to_vec()]); });
    e!("A9/X wiped before the bound, stamping off in two steps, on again", false, |c| { late(&mut c); c.ops = vec![op(Put)]; c.rep_to = true; c.script = cat(&[stamped(), pl(), vec![Pub { m: 3, set: 0, clr: S2 }, Await, Pub { m: 3, set: 0, clr: S }, Await, Wipe { s: 1, m: 3 }], stamped(), mirror()]); });
    e!("A9/wiped after the bound, stamping off in two steps, on again", true, |c| { late(&mut c); c.ops = vec![op(Put), op(Del)]; c.rep_to = true; c.timeout = 1; c.script = cat(&[stamped(), pl(), vec![Pub { m: 3, set: 0, clr: S2 }, Await, Quiet, Pub { m: 3, set: 0, clr: S }, Await, Wipe { s: 1, m: 3 }], stamped(), mirror()]); });
    // ===== what stamping must have come to
    e!("A9/X preload while starting is not acked, deleted plainly after it", false, |c| { late(&mut c); c.ops = vec![op(Del)]; c.script = cat(&[vec![Pub { m: 3, set: S, clr: 0 }], pl(), vec![Bound, Await, Pub { m: 3, set: S2, clr: 0 }, Await], mirror()]); });
    e!("A9/X preload while starting is not acked, written plainly after it", false, |c| { late(&mut c); c.ops = vec![op(Put)]; c.script = cat(&[vec![Pub { m: 3, set: S, clr: 0 }], pl(), vec![Bound, Await, Pub { m: 3, set: S2, clr: 0 }, Await], mirror()]); });
    e!("A9/preload when starting is acked, on not published", true, |c| { late(&mut c); c.ops = mix(); c.timeout = 1; c.rep_to = true; c.script = cat(&[stamped()[..2].to_vec(), pl(), vec![Bound], stamped()[2..].to_vec(), mirror()]); });
    e!("A9/preload when on is published, not acked", true, |c| { late(&mut c); c.ops = vec![op(Put), op(Upd)]; c.timeout = 1; c.rep_to = true; c.script = cat(&[stamped()[..3].to_vec(), pl(), vec![Bound], mirror()]); });
    // ===== what NEW holds
    e!("A9/on, off, preload over what NEW has, on", true, |c| { late(&mut c); c.ops = vec![op(Del), op(Put)]; c.timeout = 1; c.fail = 1; c.script = cat(&[stamped(), mirror(), off(), pl(), vec![Bound], mirror(), vec![Drain { src: 0, m: 3 }]]); });
    e!("A9/on, off not acked, preload, on", true, |c| { late(&mut c); c.ops = vec![op(Del), op(Put)]; c.fail = 1; c.rep_to = true; c.script = cat(&[stamped(), mirror(), off()[..1].to_vec(), pl(), vec![Bound], mirror(), vec![Drain { src: 0, m: 3 }]]); });
    e!("A9/NEW led and gave back, off, preload, on", true, |c| { covered(&mut c); c.ops = vec![op(Put), op(Del)]; c.timeout = 1; c.rep_to = true; c.drop_ev = true; c.script = cat(&[up2(), vec![Await], down2(), vec![Await], off(), pl(), vec![Bound], mirror()]); });
    let em = |drained: bool| { let mut v = vec![Down { s: 1 }, Pub { m: 3, set: H | E, clr: 0 }, Await, PubEm { clr: A | E | H }, Await, Up { s: 1 }, Quiet]; if drained { v.push(Drain { src: 1, m: 3 }); } v.extend(off()); v.extend(pl()); v.push(Bound); v.extend(mirror()); v.extend([Drain { src: 1, m: 3 }, Drain { src: 0, m: 3 }]); v };
    let emcfg = |c: &mut Cfg| { c.init_rule = M | A; c.cov = 3; c.init_new = true; c.hold_reads = true; c.drop_ev = true; c.lin_q = true; c.fail = 1; c.ops = vec![op(Put)]; };
    e!("A9/X emergency, off, preload over what only NEW acknowledged", false, |c| { emcfg(&mut c); c.script = em(false); });
    e!("A9/emergency, drained towards OLD, off, preload, on", true, |c| { emcfg(&mut c); c.script = em(true); });
    // ===== what a preload is not
    e!("A9/X preload makes coverage", false, |c| { late(&mut c); c.ops = vec![op(Put)]; c.script = cat(&[stamped(), pl(), vec![Bound, Pub { m: 3, set: M, clr: 0 }, Await, Cover { s: 1, m: 3 }]]); });
    e!("A9/X outside update after the preload", false, |c| { late(&mut c); c.ops = vec![op(OutPut)]; c.script = whole(); });
    e!("A9/X outside delete after the preload", false, |c| { late(&mut c); c.ops = vec![op(OutDel)]; c.script = whole(); });
    e!("A9/X preload while the mirror is on", false, |c| { late(&mut c); c.ops = vec![op(Put)]; c.rep_to = true; c.script = cat(&[stamped(), mirror(), pl(), vec![Bound]]); });
}
