mod engine;
use engine::*;
use Kind::*;
use Step::*;
fn base(name: &str) -> Cfg {
    Cfg { name: name.into(), ops: vec![], script: vec![], nodes: 2, skew: [0, 3, 0], init: [1, 0], nkeys: 1,
        fail: 0, timeout: 0, crash: 0, zombie: 0, join: 0, rdead: 0,
        ack_inflight: true, ack_mirror: true, ack_unknown: true, resolve: true, ack_dirty: true, hold_reads: true, retry_sup: true, dup_retry: false,
        dead_dirty: true, dead_quiet: true, range: false, wm_unknown: true, join_stale: false, join_unreg: false, same_id: false, zombie_apply: false, ge_replay: false,
        check_lin: true, check_p1: true, p1_zomb: false, cancel: false, drop_ev: false, sup_repair: false, to_dirty: true, init_rule: 0, cov: 0, init_new: false, need: true, lin_q: false, vr_latest: false, lead_ver: false, hold_expire: false, node_fence: false, p4off: false, rep_to: false, dead_both: false, clear_all: false, slow_read: false, ack_reads: false, fence_clean: false, fence_mir: false, max: 14_000_000, am: Am::default() }
}
fn op(k: Kind) -> OpDef { OpDef { k, key: 0, node: ANY, from: 0 } }
fn opn(k: Kind, n: u8) -> OpDef { OpDef { k, key: 0, node: n, from: 0 } }
fn opk(k: Kind, key: u8) -> OpDef { OpDef { k, key, node: ANY, from: 0 } }
fn opf(k: Kind, from: u8) -> OpDef { OpDef { k, key: 0, node: ANY, from } }
const ALL: u8 = 3;
fn on() -> Vec<Step> { vec![Pub { m: ALL, set: M, clr: 0 }, Await, Replay { src: 0, m: ALL }, Cover { s: 1, m: ALL }] }
fn up() -> Vec<Step> { vec![Pub { m: ALL, set: H, clr: 0 }, Await, Drain { src: 0, m: ALL }, Pub { m: ALL, set: A, clr: H }] }
fn down() -> Vec<Step> { vec![Pub { m: ALL, set: H, clr: 0 }, Await, Drain { src: 1, m: ALL }, Pub { m: ALL, set: 0, clr: A | H }] }
// two-phase release: authority moves while writes are still held; released when all acked
fn up2() -> Vec<Step> { vec![Pub { m: ALL, set: H, clr: 0 }, Await, Drain { src: 0, m: ALL }, Pub { m: ALL, set: A, clr: 0 }, Await, Pub { m: ALL, set: 0, clr: H }] }
fn down2() -> Vec<Step> { vec![Pub { m: ALL, set: H, clr: 0 }, Await, Drain { src: 1, m: ALL }, Pub { m: ALL, set: 0, clr: A }, Await, Pub { m: ALL, set: 0, clr: H }] }
fn cat(v: &[Vec<Step>]) -> Vec<Step> { v.concat() }
fn covered(c: &mut Cfg) { c.init_rule = M; c.cov = 3; c.init_new = true; }

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let filt = args.get(1).cloned().unwrap_or_default();
    let mut x: Vec<(Cfg, bool)> = vec![]; // (config, expected to hold)
    exps(&mut x); amend(&mut x); preload(&mut x);
    let jobs: Vec<(Cfg, bool)> = x.into_iter().filter(|(c, _)| filt.is_empty() || c.name.contains(&filt)).collect();
    if args.get(2).map(|s| s == "list").unwrap_or(false) { for (c, e) in &jobs { println!("{} {}", c.name, e); } return; }
    let q = std::sync::Arc::new(std::sync::Mutex::new((0usize, 0usize, 0usize, 0usize, 0usize)));
    let jobs = std::sync::Arc::new(jobs);
    let mut hs = vec![];
    for _ in 0..2 { let q = q.clone(); let jobs = jobs.clone(); hs.push(std::thread::Builder::new().stack_size(64 << 20).spawn(move || loop {
        let i = { let mut g = q.lock().unwrap(); let i = g.0; g.0 += 1; i }; if i >= jobs.len() { return; }
        let (c, exp) = &jobs[i]; let r = run(c);
        let holds = r.viol.is_none(); let mut g = q.lock().unwrap(); g.1 += r.states; g.2 += 1; if holds == *exp { g.3 += 1 } if !r.full && holds { g.4 += 1 }
        println!("{} {:<52} {:>10} states depth {:>3} {:>6.1}s {}{}", if holds == *exp { "as-expected" } else { "*UNEXPECTED*" }, c.name, r.states, r.depth, r.secs, match &r.viol { None => if r.full { format!("HOLDS (exhaustive; {} final quiescent states checked)", r.qend) } else { "HOLDS so far (bound hit)".into() }, Some(v) => format!("BROKEN {}", v) }, if c.max == 1 { " " } else { "" });
        if r.viol.is_some() { for (j, l) in r.trace.iter().enumerate() { println!("      {:>2}. {}", j + 1, l); } }
    }).unwrap()); }
    for h in hs { h.join().unwrap(); }
    let g = q.lock().unwrap(); println!("TOTAL {} configurations, {} states, {} as expected, {} hit the bound", g.2, g.1, g.3, g.4);
}
include!("exps.rs");
include!("amend.rs");
include!("preload.rs");
