// Explicit-state breadth-first checker of the two-store migration protocol.
// Every field of State is plain bytes/u64 so a state can be hashed as memory.
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

pub const NK: usize = 2; // keys (key k lives in bucket k)
pub const NOPS: usize = 6;
pub const NN: usize = 3; // node slots (slot 2 = joiner)
pub const NREV: usize = 20;
// rule bits
pub const A: u8 = 1; // authority is NEW
pub const M: u8 = 2; // mirror on
pub const W: u8 = 4; // WAIT mode
pub const H: u8 = 8; // HOLD
pub const ANY: u8 = 9;
pub const S: u8 = 16; // stamping starting (A2): stamped writes, no re-send, CAS compares value
pub const S2: u8 = 32; // stamping on (published after all acked S)
pub const E: u8 = 64; // emergency hold (A4)
pub const P_RD: u8 = 6; // update has read, CAS not sent (A3)
#[derive(Clone, Debug, Default)]
pub struct Am {
    pub dl: bool, pub nonatomic: bool, pub first: bool, pub giveup: bool, pub giveup_early: bool, pub exp_definite: bool,
    pub late_stamp: bool, pub valcmp: bool, pub mix_resend: bool, pub plain_keep: bool,
    pub upd3: u8,
    pub edirt: bool, pub em_ackfree: bool, pub em_floor_live: bool, pub giveup_nodirt: bool, pub em_nodirt: bool, pub em_nofloor: bool,
    pub ctl: u8, pub entry: bool, pub die: u8, pub die_durable: bool, pub relgate: bool, pub flipgate: bool, pub ef: bool, pub flip_acked_all: bool,
    pub cohort: bool, pub mv_and: bool, pub posdirt: bool, pub mv_union: bool, pub late_map: bool,
    pub rej: u8, pub rej_gate: bool, pub rej_dirty: bool,
}
// op phases
pub const P_NEW: u8 = 0;
pub const P_LEAD: u8 = 1; // lead put sent, no answer yet
pub const P_MIR: u8 = 2; // lead applied, mirror put outstanding
pub const P_DONE: u8 = 3;
pub const P_UNK: u8 = 4; // answered 'unknown' (or caller gone): stays pending in the history for ever
pub const P_FAIL: u8 = 5; // definitive failure, no effect
// op flags
const F_ACK: u8 = 1;
const F_OL: u8 = 2; // orphan copy of the lead put in the network
const F_OM: u8 = 4; // orphan copy of the mirror put
const F_TO: u8 = 8; // timed out once
const F_DEADN: u8 = 16; // its node crashed
const F_SAW: u8 = 32; // unresolved unknown counts as in flight
const F_XL: u8 = 64; // controller believes every deadline of its lead copies passed
const F_XM: u8 = 128;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind { Put, Del, Upd, Read, OutPut, OutDel }
#[derive(Clone, Copy, Debug)]
pub struct OpDef { pub k: Kind, pub key: u8, pub node: u8, pub from: u8 }

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Pub { m: u8, set: u8, clr: u8 },
    PubFloor,
    Await,
    AwaitCancel { m: u8, set: u8, clr: u8, jump: u8 },
    Replay { src: u8, m: u8 },
    ReplayBg { src: u8, m: u8 },
    ReplayEnd,
    Preload { src: u8, m: u8 },
    Bound, // wait until the bound of every replay put that is still in the network has passed
    ReplayTwoSided { src: u8, m: u8 },
    Drain { src: u8, m: u8 },
    Cover { s: u8, m: u8 },
    Wipe { s: u8, m: u8 },
    Purge { s: u8, k: u8 },
    Fence { s: u8, m: u8 },
    FenceStamp { s: u8 },
    Down { s: u8 },
    Up { s: u8 },
    PubEm { clr: u8 },
    Move { to: u8, hold: u8 },
    Quiet, // wait until every message still in the network was delivered or is known gone (T_inflight)
}

#[derive(Clone, Debug)]
pub struct Cfg {
    pub name: String,
    pub ops: Vec<OpDef>,
    pub script: Vec<Step>,
    pub nodes: usize,
    pub skew: [u8; 3],
    pub init: [u8; NK], // 0 absent, 1 legacy row in OLD
    pub nkeys: usize,
    // budgets
    pub fail: u8, pub timeout: u8, pub crash: u8, pub zombie: u8, pub join: u8, pub rdead: u8,
    // rules
    pub ack_inflight: bool,  // ack waits for ops begun under earlier revisions (lead part)
    pub ack_mirror: bool,    // ... including background mirror puts
    pub ack_unknown: bool,   // ... including unknown-outcome lead puts
    pub resolve: bool,       // unknown lead put is re-sent with the SAME stamp until a definite answer
    pub ack_dirty: bool,     // ack carries the dirty set
    pub hold_reads: bool,
    pub retry_sup: bool,     // blind put superseded on the lead is retried with a larger stamp
    pub dup_retry: bool,     // after timeout, superseded => retry with larger stamp (bad)
    pub dead_dirty: bool,    // declaring dead marks dirty
    pub dead_quiet: bool,    // ... and repair waits until its messages are gone
    pub range: bool,         // repair of a dead node scans only stamps > heartbeat's watermark
    pub wm_unknown: bool,    // watermark pinned by unknown outcomes
    pub join_stale: bool,    // joiner may start with any old revision
    pub join_unreg: bool,    // joiner fetches the revision, is registered (counted) only later
    pub same_id: bool,       // joiner reuses node id 0 and a reset clock
    pub zombie_apply: bool,
    pub ge_replay: bool,     // replay put applies on equal stamp too
    pub check_lin: bool, pub check_p1: bool, pub p1_zomb: bool,
    pub cancel: bool,
    pub drop_ev: bool,
    pub sup_repair: bool,    // mirror put superseded by an unknown newer stamp marks dirty in the reverse direction
    pub to_dirty: bool, pub init_rule: u8, pub cov: u8, pub init_new: bool, pub need: bool, pub lin_q: bool, pub vr_latest: bool, pub lead_ver: bool, pub hold_expire: bool, pub node_fence: bool, pub p4off: bool, pub rep_to: bool, pub dead_both: bool, pub clear_all: bool, pub slow_read: bool, pub ack_reads: bool, pub fence_clean: bool, pub fence_mir: bool,
    pub max: usize, pub am: Am,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Ent { pub st: u8, pub val: u8 }
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Op { ph: u8, node: u8, rev: u8, stamp: u8, exp: u8, rdv: u8, fl: u8, lead: u8 }
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Node { stt: u8, rev: u8, acked: u8, clk: u8, d0: u8, d1: u8, hb: u8, reg: u8 }
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct State {
    lin: [[u64; 8]; NK],
    ops: [Op; NOPS],      // 48
    nodes: [Node; NN],    // 24
    st: [[Ent; NK]; 2],   // 8
    buf: [Ent; NK],       // 4
    kst: [u8; NK],        // 2
    cdirty: [u8; 2], rdirty: [u8; 2], covered: [u8; 2], // 6
    fence: [[u8; NK]; 2], // 4
    revs: [[u8; 3]; NREV],// 60
    nrev: u8, pc: u8, ract: u8, rsrc: u8, cfrom: u8, rfrom: u8, down: u8, dead: u8,
    b_fail: u8, b_to: u8, b_crash: u8, b_zomb: u8, b_join: u8, two: u8, floor: [u8;2],
    ro: u8, ro_st: u8, ro_val: u8, ro_key: u8, b_ro: u8, rsv: [u8;7], oc: [u8; NOPS], b_ctl: u8, b_die: u8,
    
}

pub struct H64(u64);
impl Hasher for H64 { fn finish(&self)->u64{self.0} fn write(&mut self,_:&[u8]){} fn write_u64(&mut self,x:u64){self.0=x;} }
impl Default for H64 { fn default()->Self{H64(0)} }

fn hash(s: &State) -> u64 {
    let n = std::mem::size_of::<State>();
    debug_assert!(n % 8 == 0);
    let p = s as *const State as *const u64;
    let mut h: u64 = 0x9E3779B97F4A7C15;
    for i in 0..n / 8 {
        let x = unsafe { *p.add(i) };
        let a = (h ^ x) as u128 * 0xA0761D6478BD642Fu128.wrapping_add((i as u128) << 1);
        h = (a as u64) ^ ((a >> 64) as u64) ^ x.rotate_left(23);
    }
    h ^ (h >> 29)
}
const fn nb(i: usize) -> u64 { let mut r = 0u64; let mut m = 0; while m < 64 { if (m >> i) & 1 == 0 { r |= 1 << m; } m += 1; } r }
const NB: [u64; 6] = [nb(0), nb(1), nb(2), nb(3), nb(4), nb(5)];

pub struct Out<'a> { pub v: Vec<(State, Option<String>, Option<String>)>, pub lab: bool, pub cfg: &'a Cfg }
macro_rules! emit { ($o:expr, $s:expr, $viol:expr, $($a:tt)*) => {{ let l = if $o.lab { Some(format!($($a)*)) } else { None }; $o.v.push(($s, l, $viol)); }} }

fn sname(s: u8) -> &'static str { if s == 0 { "OLD" } else { "NEW" } }
pub fn opname(c: &Cfg, i: usize) -> String {
    let d = c.ops[i];
    match d.k { Kind::Put => format!("put w{}", i), Kind::Del => format!("delete w{}", i), Kind::Upd => format!("update w{}", i), Kind::Read => format!("read r{}", i), Kind::OutPut => format!("outside write w{}", i), Kind::OutDel => format!("outside delete w{}", i) }
}
fn vname(v: u8) -> String { match v { 0 => "absent".into(), 7 => "legacy".into(), n => format!("w{}", n - 1) } }
fn sts(s: u8) -> String { match s { 0 => "none".into(), 1 => "legacy0".into(), n => format!("{}.{}", (n - 4) / 4 , n % 4) } }
fn rname(r: u8) -> String { format!("{}{}{}{}", if r & A != 0 { "NEW-led" } else { "OLD-led" }, if r & M != 0 { "+mirror" } else { "" }, if r & W != 0 { "+wait" } else { "" }, if r & H != 0 { "+HOLD" } else { "" }) }

fn t_s2(r: u8) -> bool { r & S2 == 0 }
impl State {
    pub fn init(c: &Cfg) -> State {
        let mut s: State = unsafe { std::mem::zeroed() };
        for k in 0..NK { if c.init[k] == 1 { s.st[0][k] = Ent { st: 1, val: 7 }; s.lin[k][7] = 1; } else { s.lin[k][0] = 1; } }
        for n in 0..c.nodes { s.nodes[n].stt = 1; s.nodes[n].reg = 1; s.nodes[n].clk = c.skew[n]; s.nodes[n].hb = 0; }
        s.nrev = 1; s.cfrom = 255; s.covered = [3, c.cov]; for k in 0..NK { s.revs[0][k] = c.init_rule; if c.init_new { s.st[1][k] = s.st[0][k]; } }
        s.b_fail = c.fail; s.b_to = c.timeout; s.b_crash = c.crash; s.b_zomb = c.zombie; s.b_join = c.join; s.b_ctl = c.am.ctl; s.b_die = c.am.die;
        s
    }
    fn rule(&self, rev: u8, k: usize) -> u8 { self.revs[rev as usize][k] }
    fn pos(&self, rev: u8, k: usize) -> usize { if k == 0 { (self.revs[rev as usize][2] >> 7) as usize } else { 0 } }
    // rule of key k under revision rev; with cohorts the key's position is looked up first
    fn krule(&self, c: &Cfg, rev: u8, k: usize) -> u8 { if c.am.cohort { let h = if k == 0 && self.revs[rev as usize][2] & 64 != 0 { H } else { 0 }; self.revs[rev as usize][self.pos(rev, k)] | h } else { self.revs[rev as usize][k] } }
    fn kpos(&self, c: &Cfg, rev: u8, k: usize) -> usize { if c.am.cohort { self.pos(rev, k) } else { k } }
    fn min_ack(&self, r: u8) -> bool { for n in 0..NN { let d = &self.nodes[n]; if d.stt != 0 && d.reg == 1 && self.dead >> n & 1 == 0 && d.acked < r { return false; } } true }
    fn lead_gone(&self, i: usize) -> bool { self.ops[i].fl & F_OL == 0 || self.ops[i].fl & F_XL != 0 }
    fn rejected(&self, c: &Cfg, st: usize, val: u8) -> bool { st == 1 && val > 0 && val < 7 && c.am.rej >> (val - 1) & 1 == 1 }
    fn drop_lead(&mut self, i: usize) { if self.oc[i] > 0 { self.oc[i] -= 1 } else { self.ops[i].fl &= !(F_OL | F_XL); } }
    fn closure(&self, c: &Cfg, k: usize) -> [u64; 8] {
        let mut l = self.lin[k];
        loop {
            let before = l;
            for i in 0..c.ops.len() {
                let o = &self.ops[i]; let d = c.ops[i];
                if d.key as usize != k || d.k == Kind::Read { continue; }
                let pend = (o.ph == P_LEAD || o.ph == P_MIR || o.ph == P_UNK) && o.fl & F_ACK == 0;
                if !pend { continue; }
                let sh = 1usize << i;
                match d.k {
                    Kind::Upd => { let x = (l[o.rdv as usize] & NB[i]) << sh; l[i + 1] |= x; }
                    _ => { let mut x = 0; for v in 0..8 { x |= (l[v] & NB[i]) << sh; } let t = if d.k == Kind::Del { 0 } else { i + 1 }; l[t] |= x; }
                }
            }
            if l == before { return l; }
        }
    }
    // op i answered OK
    fn ret_ok(&mut self, c: &Cfg, i: usize) -> Option<String> {
        let k = c.ops[i].key as usize;
        let mut l = self.closure(c, k);
        let mut any = 0;
        for v in 0..8 { l[v] = (l[v] & !NB[i]) >> (1usize << i); any |= l[v]; }
        self.lin[k] = l; self.ops[i].fl |= F_ACK;
        if any == 0 && c.check_lin { return Some(format!("P2/P5: '{}' answered OK but no linearization exists", opname(c, i))); }
        None
    }
    fn no_effect(&mut self, c: &Cfg, i: usize) -> Option<String> {
        let k = c.ops[i].key as usize; let mut any = 0;
        for v in 0..8 { self.lin[k][v] &= NB[i]; any |= self.lin[k][v]; }
        if any == 0 && c.check_lin { return Some(format!("P2: '{}' had no effect but history needs it", opname(c, i))); }
        None
    }
    fn stamp(&mut self, c: &Cfg, n: usize) -> u8 { self.nodes[n].clk += 1; let id = if c.same_id && n == 2 { 0 } else { n as u8 }; 4 * (self.nodes[n].clk + 1) + id }
    fn observe(&mut self, n: usize, st: u8) { if st >= 4 { let cl = st / 4 - 1; if cl > self.nodes[n].clk { self.nodes[n].clk = cl; } } }
    fn live(&self, n: usize) -> bool { self.nodes[n].stt == 1 }
    fn dirty_op(&mut self, c: &Cfg, i: usize) { let p = self.ops[i]; let k = c.ops[i].key as usize; let b = if c.am.posdirt { self.pos(p.rev, k) } else { k }; self.dirty_add(p.node as usize, p.lead, b); }
    fn dirty_add(&mut self, n: usize, src: u8, k: usize) { if src == 0 { self.nodes[n].d0 |= 1 << k } else { self.nodes[n].d1 |= 1 << k } }
    fn wm(&self, c: &Cfg, n: usize) -> u8 {
        // every stamp <= result issued by n is mirrored or handed over as dirty
        if self.nodes[n].d0 | self.nodes[n].d1 != 0 { return self.nodes[n].hb; }
        let mut w = 4 * (self.nodes[n].clk + 1) + 3;
        for i in 0..c.ops.len() { let o = &self.ops[i]; if o.ph == P_NEW || o.node as usize != n { continue; }
            let open = (o.ph == P_LEAD && (c.wm_unknown || o.fl & F_TO == 0)) || o.ph == P_MIR || (o.ph == P_UNK && c.wm_unknown && o.fl & F_SAW != 0);
            if open && o.stamp <= w { w = o.stamp - 1; } }
        w
    }
    fn hand_over(&mut self, c: &Cfg, n: usize) { let mut a = self.nodes[n].d0; let mut b = self.nodes[n].d1; if c.am.late_map { let to = self.pos(self.nrev - 1, 0); if a & 3 != 0 { a |= 1 << to } if b & 3 != 0 { b |= 1 << to } } if a | b != 0 { self.cfrom = 0; } self.cdirty[0] |= a; self.cdirty[1] |= b; self.nodes[n].d0 = 0; self.nodes[n].d1 = 0; }
    // result: 0 applied, 1 already, 2 superseded, 3 conflict, 4 fenced
    fn lead_put(&mut self, c: &Cfg, i: usize) -> u8 {
        let o = self.ops[i]; let d = c.ops[i]; let k = d.key as usize; let s = o.lead as usize;
        if o.rev < self.fence[s][k] { return 4; }
        if c.node_fence && self.dead >> o.node & 1 == 1 { return 4; }
        if c.lead_ver { let cur = self.st[s][k]; if cur.val == i as u8 + 1 { return 1; } if d.k == Kind::Upd && cur.st != o.exp { return 3; }
            let v = 4 * (cur.st / 4 + 1) + s as u8; self.ops[i].stamp = v; self.st[s][k] = Ent { st: v, val: if d.k == Kind::Del { 0 } else { i as u8 + 1 } }; return 0; }
        let cur = self.st[s][k];
        if o.stamp == 1 { // plain write (stamping off)
            if d.k == Kind::Upd && cur.val != o.rdv { return 3; }
            self.st[s][k] = if d.k == Kind::Del { Ent::default() } else { Ent { st: if c.am.plain_keep { cur.st.max(1) } else { 1 }, val: i as u8 + 1 } };
            return 0; }
        if c.am.valcmp && d.k == Kind::Upd && cur.st == o.exp && cur.val != o.rdv && cur.st != o.stamp { return 3; }
        if cur.st == o.stamp { return 1; }
        if cur.st == 0 && o.stamp <= self.floor[s] { return 4; }
        let val = if d.k == Kind::Del { 0 } else { i as u8 + 1 };
        if d.k == Kind::Upd { if cur.st == o.exp && o.stamp > cur.st { self.st[s][k] = Ent { st: o.stamp, val }; return 0; } return 3; }
        if cur.st < o.stamp { self.st[s][k] = Ent { st: o.stamp, val }; return 0; }
        2
    }
    fn mirror_put(&mut self, c: &Cfg, i: usize) -> bool {
        if c.fence_mir && self.dead >> self.ops[i].node & 1 == 1 { return false; }
        let o = self.ops[i]; let d = c.ops[i]; let k = d.key as usize; let s = 1 - o.lead as usize;
        let val = if d.k == Kind::Del { 0 } else { i as u8 + 1 };
        if self.st[s][k].st == 0 && o.stamp <= self.floor[s] { return false; }
        if self.st[s][k].st < o.stamp { self.st[s][k] = Ent { st: o.stamp, val }; return true; }
        self.st[s][k].st == o.stamp
    }
    fn mir_rejected(&self, c: &Cfg, i: usize) -> bool { let o = self.ops[i]; c.ops[i].k != Kind::Del && self.rejected(c, 1 - o.lead as usize, i as u8 + 1) && self.st[1 - o.lead as usize][c.ops[i].key as usize].st < o.stamp }
    fn after_lead(&mut self, c: &Cfg, i: usize) -> Option<String> {
        let k = c.ops[i].key as usize; let r = self.krule(c, self.ops[i].rev, k);
        if r & M != 0 { self.ops[i].ph = P_MIR; if r & W == 0 { return self.ret_ok(c, i); } None }
        else { let v = self.ret_ok(c, i); self.ops[i].ph = P_DONE; v }
    }
    fn publish(&mut self, c: &Cfg, m: u8, set: u8, clr: u8, fenced: bool) -> Option<String> {
        let cur = self.revs[self.nrev as usize - 1]; let mut nx = cur; let mut viol = None;
        for b in 0..NK { if m >> b & 1 == 1 {
            nx[b] = (cur[b] | set) & !clr;
            if nx[b] & M == 0 { let fol = if nx[b] & A != 0 { 0 } else { 1 }; self.covered[fol] &= !(1 << b); }
            if (nx[b] ^ cur[b]) & A != 0 && fenced && c.check_lin && !c.am.cohort {
                let t = if nx[b] & A != 0 { 1 } else { 0 };
                if self.st[t][b].st < self.st[1 - t][b].st && self.st[t][b].val != self.st[1 - t][b].val { viol = Some(format!("P4: authority moves to {} which misses {} of key{}", sname(t as u8), vname(self.st[1 - t][b].val), b)); }
            }
        } }
        nx[2] = if c.am.cohort { cur[2] & 0xC0 } else { nx[2] };
        self.revs[self.nrev as usize] = nx; self.nrev += 1;
        if c.am.cohort && fenced { for k in 0..c.nkeys { if let Some(v) = self.p4k(c, k) { viol = Some(v); } } }
        viol
    }
    fn p4k(&self, c: &Cfg, k: usize) -> Option<String> {
        let (a, b) = (self.krule(c, self.nrev - 2, k), self.krule(c, self.nrev - 1, k));
        if (a ^ b) & A != 0 && c.check_lin { let t = if b & A != 0 { 1 } else { 0 };
            if self.st[t][k].st < self.st[1 - t][k].st && self.st[t][k].val != self.st[1 - t][k].val { return Some(format!("P4: authority of key{} moves to {} which misses {}", k, sname(t as u8), vname(self.st[1 - t][k].val))); } }
        None
    }
    fn all_acked(&self, c: &Cfg) -> bool { if c.dead_quiet && !c.am.em_ackfree && self.dead_orph(c) { return false; } for n in 0..NN { let d = &self.nodes[n]; if d.stt != 0 && d.reg == 1 && self.dead >> n & 1 == 0 && d.acked + 1 < self.nrev { return false; } } true }
    fn orphans(&self, c: &Cfg) -> bool { for i in 0..c.ops.len() { if (self.ops[i].fl & F_OL != 0 && self.ops[i].fl & F_XL == 0) || (self.ops[i].fl & F_OM != 0 && self.ops[i].fl & F_XM == 0) { return true; } } self.ro != 0 }

    fn quiescent(&self, c: &Cfg) -> bool {
        if self.ract != 0 || self.cdirty != [0, 0] || self.rdirty != [0, 0] || self.down != 0 { return false; }
        for n in 0..NN { let d = &self.nodes[n]; if d.stt == 0 { continue; } let z = self.dead >> n & 1 == 1;
            if d.stt == 2 { if !z { return false; } continue; }
            if z { if !c.p1_zomb { return false; } } else { if d.rev + 1 != self.nrev || d.acked != d.rev || d.reg == 0 { return false; } }
            if (d.d0 | d.d1) != 0 && !(z && c.rdead == 1) { return false; } }
        for i in 0..c.ops.len() { let o = &self.ops[i]; if (o.ph == P_LEAD || o.ph == P_MIR) && o.fl & F_DEADN == 0 { return false; } if o.ph == P_UNK && o.fl & F_SAW != 0 && c.ack_unknown && o.fl & F_DEADN == 0 { return false; } }
        true
    }
    fn check(&self, c: &Cfg) -> Option<String> {
        let q = if c.check_p1 || c.lin_q { self.quiescent(c) } else { false };
        if c.check_lin && (!c.lin_q || q) {
            for n in 0..NN { if !self.live(n) || self.dead >> n & 1 == 1 { continue; }
                if c.vr_latest && self.nodes[n].rev + 1 != self.nrev { continue; }
                for k in 0..c.nkeys { let r = self.krule(c, self.nodes[n].rev, k); if r & H != 0 && c.hold_reads { continue; }
                    let s = (r & A) as usize; if self.down >> s & 1 == 1 { continue; }
                    let v = self.st[s][k].val;
                    if self.lin[k][v as usize] != 0 { continue; }
                    if self.closure(c, k)[v as usize] == 0 { return Some(format!("P2: a read of key{} at node{} ({} at rev{}) would return {} - not linearizable", k, n, sname(s as u8), self.nodes[n].rev, vname(v))); }
                } }
        }
        if c.check_p1 && q {
            for k in 0..c.nkeys { let r = self.krule(c, self.nrev - 1, k); if r & M == 0 { continue; } let fol = if r & A != 0 { 0 } else { 1 };
                if self.covered[fol] >> self.kpos(c, self.nrev - 1, k) & 1 == 0 { continue; }
                let (a, b) = (self.st[0][k], self.st[1][k]);
                if a.val != b.val { return Some(format!("P1: quiescent, covered, mirrored, but key{}: OLD={}@{} NEW={}@{}", k, vname(a.val), sts(a.st), vname(b.val), sts(b.st))); } }
        }
        None
    }

    pub fn succ(&self, o: &mut Out) {
        let c = o.cfg;
        // control plane script
        if (self.pc as usize) < c.script.len() && (self.ract == 0 || self.ract == 3) {
            match c.script[self.pc as usize] {
                Step::Pub { m, set, clr } => { let mut t = *self; let v = t.publish(c, m, set, clr, c.p4(set, clr)); t.pc += 1; let q = t.check(c); emit!(o, t, v.or(q), "control: publish rev{}: {}", t.nrev - 1, (0..c.nkeys).map(|b| rname(t.rule(t.nrev - 1, b))).collect::<Vec<_>>().join(" / ")); }
                Step::PubFloor => { let mut t = *self; t.publish(c, 0, 0, 0, false); let mut f = 0; for s in 0..2 { for k in 0..NK { f = f.max(t.st[s][k].st); } } t.revs[t.nrev as usize - 1][2] = f | 3; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: publish rev{} stampFloor={}", t.nrev - 1, sts(f)); }
                Step::Await => if self.all_acked(c) { let mut t = *self; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: all live nodes acked rev{}", t.nrev - 1); },
                Step::AwaitCancel { m, set, clr, jump } => {
                    if self.all_acked(c) { let mut t = *self; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: all live nodes acked rev{}", t.nrev - 1); }
                    if c.cancel { let mut t = *self; t.publish(c, m, set, clr, false); t.pc = jump; let q = t.check(c); emit!(o, t, q, "control: no ack in time -> publish cancellation rev{}: {}", t.nrev - 1, rname(t.rule(t.nrev - 1, 0))); } }
                Step::Replay { src, m } | Step::ReplayTwoSided { src, m } => if self.down == 0 && !(c.dead_quiet && self.dead_orph(c)) { let mut t = *self; t.two = matches!(c.script[self.pc as usize], Step::ReplayTwoSided { .. }) as u8; t.ract = 1; t.rsrc = src; t.rfrom = 0; for k in 0..c.nkeys { t.kst[k] = if m >> self.kpos(c, self.nrev - 1, k) & 1 == 1 { 1 } else { 0 }; } let m = if c.am.cohort && !c.am.posdirt { let mut q = 0; for k in 0..c.nkeys { q |= t.kst[k] << k; } q } else { m }; t.rdirty[src as usize] |= t.cdirty[src as usize] & m; t.cdirty[src as usize] &= !m; emit!(o, t, None, "control: start full replay {}->{}", sname(src), sname(1 - src)); },
                Step::ReplayBg { src, m } => { let mut t = *self; t.ract = 3; t.rsrc = src; t.rfrom = 0; t.pc += 1; for k in 0..c.nkeys { t.kst[k] = m >> k & 1; } emit!(o, t, None, "control: start background replay {}->{}", sname(src), sname(1 - src)); }
                Step::Preload { src, m } => if self.down == 0 { let mut t = *self; t.rsv[6] = 1; t.ract = 1; t.rsrc = src; t.rfrom = 0; for k in 0..c.nkeys { t.kst[k] = m >> k & 1; } emit!(o, t, None, "control: start preload {}->{} (unconditional puts)", sname(src), sname(1 - src)); },
                Step::Bound => if self.ro == 0 { let mut t = *self; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: every put of the preload is definite or its bound has passed"); },
                Step::ReplayEnd => if self.ract == 0 { let mut t = *self; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: replay is over"); },
                Step::Drain { src, m } => {
                    let mm = if c.am.rej_gate { m | m << 4 } else { m };
                    if self.cdirty[src as usize] & mm == 0 { let mut t = *self; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: nothing dirty ({} led)", sname(src)); }
                    else if self.down == 0 && !(c.dead_quiet && self.dead_orph(c)) { let mut t = *self; t.ract = 2; t.rsrc = src; t.rfrom = if c.range { t.cfrom } else { 0 }; t.cfrom = 255; for k in 0..c.nkeys { t.kst[k] = if self.cdirty[src as usize] & m >> k & 1 == 1 { 1 } else { 0 }; } for k in 0..c.nkeys { let kp = if c.am.posdirt { self.kpos(c, self.nrev - 1, k) } else { k }; t.kst[k] = ((self.cdirty[src as usize] & m) >> kp | (self.cdirty[src as usize] & (m << 4)) >> (kp + 4)) & 1; } t.rdirty[src as usize] |= t.cdirty[src as usize] & (m | m << 4); t.cdirty[src as usize] &= !(m | m << 4); emit!(o, t, None, "control: start repair replay {}->{} of dirty keys (stamps > {})", sname(src), sname(1 - src), sts(t.rfrom)); } }
                Step::Cover { s, m } => { let mut t = *self; t.covered[s as usize] |= m; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: {} counts as covered", sname(s)); }
                Step::Wipe { s, m } => { let mut t = *self; for k in 0..NK { if m >> k & 1 == 1 { t.st[s as usize][k] = Ent::default(); } } t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: wipe {}", sname(s)); }
                Step::Purge { s, k } => { let mut t = *self; let e = t.st[s as usize][k as usize]; let f = t.revs[t.nrev as usize - 1][2]; let has_floor = c.script.iter().any(|x| matches!(x, Step::PubFloor)); let hit = e.st > 0 && e.val == 0 && (!has_floor || e.st <= f); if hit { t.st[s as usize][k as usize] = Ent::default(); } t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: purge tombstone of key{} on {} ({})", k, sname(s), if hit { "removed" } else { "none" }); }
                Step::Fence { s, m } => { let mut t = *self; for b in 0..NK { if m >> b & 1 == 1 { t.fence[s as usize][b] = t.nrev - 1; } } t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: raise write fence of {} to rev{}", sname(s), t.nrev - 1); }
                Step::FenceStamp { s } => { let mut t = *self; t.floor[s as usize] = t.revs[t.nrev as usize - 1][2]; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: store-side stamp floor on {}", sname(s)); }
                Step::Down { s } => { let mut t = *self; t.down |= 1 << s; t.pc += 1; emit!(o, t, None, "{} goes down", sname(s)); }
                Step::Up { s } => { let mut t = *self; t.down &= !(1 << s); t.pc += 1; let q = t.check(c); emit!(o, t, q, "{} is back", sname(s)); }
                Step::PubEm { clr } => { let mut t = *self;
                    let mut v = None;
                    if c.am.edirt { for k in 0..c.nkeys { let mut d = t.cdirty[1]; for n in 0..NN { d |= t.nodes[n].d1; }
                        if d >> k & 1 == 1 { continue; }
                        if t.st[1][k].st > t.st[0][k].st && t.st[1][k].val != t.st[0][k].val { v = Some(format!("P6: key{} on NEW is {} but is not in the dirt", k, vname(t.st[1][k].val))); }
                        for i in 0..c.ops.len() { let o = &t.ops[i]; if c.ops[i].key as usize == k && o.lead == 1 && o.fl & F_OL != 0 && o.stamp > t.st[0][k].st && o.stamp > t.st[1][k].st && (c.ops[i].k != Kind::Upd || o.exp == t.st[1][k].st) { v = Some(format!("P6: unresolved {} may yet land on NEW but is not in the dirt", opname(c, i))); } } } }
                    t.publish(c, 3, 0, clr, false); let mut f = 0; if !c.am.em_nofloor { for s in 0..1 { for k in 0..NK { f = f.max(t.st[s][k].st); } } for n in 0..NN { if t.nodes[n].stt != 0 && !(c.am.em_floor_live && t.nodes[n].stt == 2) { f = f.max(4 * (t.nodes[n].clk + 1)); } } t.revs[t.nrev as usize - 1][2] = f | 3; }
                    t.pc += 1; let q = t.check(c); emit!(o, t, v.or(q), "control: EMERGENCY publish rev{}: {} stampFloor={}", t.nrev - 1, rname(t.rule(t.nrev - 1, 0)), sts(f)); }
                Step::Move { to, hold } => { let mut t = *self; let from = t.pos(t.nrev - 1, 0); t.revs[t.nrev as usize] = t.revs[t.nrev as usize - 1]; t.revs[t.nrev as usize][2] = to << 7 | hold << 6; t.nrev += 1; t.pc += 1;
                    let mut lost = "";
                    if from != to as usize { for s in 0..2 { if c.am.mv_and && t.covered[s] >> from & 1 == 0 && t.covered[s] >> to & 1 == 1 { t.covered[s] &= !(1 << to); lost = "; destination loses coverage"; } if c.am.posdirt && c.am.mv_union { if t.cdirty[s] >> from & 1 == 1 { t.cdirty[s] |= 1 << to; } } } }
                    let v = t.p4k(c, 0); let q = t.check(c); emit!(o, t, v.or(q), "control: publish rev{}: key0 at position {}{}{}", t.nrev - 1, if to == 0 { "bucket" } else { "cohort" }, if hold == 1 { " +HOLD" } else { "" }, lost); }
                Step::Quiet => if !self.orphans(c) { let mut t = *self; t.pc += 1; let q = t.check(c); emit!(o, t, q, "control: waited T_inflight (no message older than that can be applied)"); },
            }
        }
        if c.am.ctl > 0 && c.am.die > 0 || c.am.ctl > 0 {
            let l = self.nrev - 1; let r = self.rule(l, 0); let mut hs = l; while hs > 0 && self.rule(hs, 0) & H != 0 && self.rule(hs - 1, 0) & H != 0 { hs -= 1; }
            let mut ac = 0; for x in 1..self.nrev { if (self.rule(x, 0) ^ self.rule(x - 1, 0)) & A != 0 { ac = x; } }
            if self.ract == 0 {
                if r & H == 0 && self.b_ctl > 0 && (!c.am.entry || self.cdirty == [0, 0]) { let mut t = *self; t.b_ctl -= 1; t.publish(c, 3, H, 0, false); let q = t.check(c); emit!(o, t, q, "controller: publish rev{}: {}", l + 1, rname(t.rule(l + 1, 0))); }
                if r & H != 0 { let g = if c.am.flip_acked_all { self.min_ack(l) } else { self.min_ack(hs) };
                    if self.b_ctl > 0 && ((g && self.cdirty == [0, 0]) || !c.am.flipgate) { let mut t = *self; t.b_ctl -= 1; let v = t.publish(c, 3, if r & A == 0 { A } else { 0 }, if r & A != 0 { A } else { 0 }, true); let q = t.check(c); emit!(o, t, v.or(q), "controller: publish rev{}: {}", l + 1, rname(t.rule(l + 1, 0))); }
                    if !c.am.relgate || self.min_ack(ac) { let mut t = *self; t.publish(c, 3, 0, H, false); let q = t.check(c); emit!(o, t, q, "controller: release, publish rev{}: {}", l + 1, rname(t.rule(l + 1, 0))); } }
                for src in 0..2usize { if self.cdirty[src] != 0 && self.down == 0 && !(c.dead_quiet && self.dead_orph(c)) { let mut t = *self; t.ract = 2; t.rsrc = src as u8; t.rfrom = 0; for k in 0..c.nkeys { t.kst[k] = (self.cdirty[src] >> k | self.cdirty[src] >> (k + 4)) & 1; } t.rdirty[src] |= t.cdirty[src]; t.cdirty[src] = 0; emit!(o, t, None, "controller: start repair {}->{}", sname(src as u8), sname(1 - src as u8)); } }
            }
        }
        if self.b_die > 0 && self.ract != 0 && self.ract != 3 { for orphan in 0..2 { let mut t = *self; t.b_die -= 1; t.ract = 0; if orphan == 1 { let mut any = false; for k in 0..c.nkeys { if self.kst[k] == 2 && self.buf[k].st != 0 && self.ro == 0 { any = true; t.ro = 2 - self.rsrc; t.rsv[5] = self.rsv[6]; t.ro_key = k as u8; t.ro_st = self.buf[k].st; t.ro_val = self.buf[k].val; } } if !any { continue; } } t.rsv[6] = 0; t.kst = [0; NK]; t.buf = [Ent::default(); NK]; if c.am.die_durable { for x in 0..2 { t.cdirty[x] |= t.rdirty[x]; } } t.rdirty = [0, 0]; let q = t.check(c); emit!(o, t, q, "controller dies during replay{}; another one continues from durable state", if orphan == 1 { " (its put still in the network)" } else { "" }); } }
        // replay
        if self.ract != 0 {
            let src = self.rsrc as usize;
            for k in 0..c.nkeys {
                if self.kst[k] == 1 && self.down >> src & 1 == 0 { let mut t = *self; let e = t.st[src][k]; let skip = (e.st == 0 && t.two == 0) || (e.st != 0 && e.st <= t.rfrom);
                    if skip { t.kst[k] = 3; } else { t.kst[k] = 2; t.buf[k] = e; }
                    emit!(o, t, None, "replay reads key{} on {}: {}@{}{}", k, sname(src as u8), vname(e.val), sts(e.st), if skip { " (nothing to copy)" } else { "" }); }
                if self.kst[k] == 2 && self.down >> (1 - src) & 1 == 0 { let mut t = *self; let e = t.buf[k]; let cur = t.st[1 - src][k];
                    let un = self.rsv[6] == 1; let ok = if e.st == 0 { false } else { un || cur.st < e.st || (c.ge_replay && cur.st == e.st) };
                    if e.st == 0 && cur.st != 0 { t.st[1 - src][k] = Ent::default(); } // two-sided: delete what the source lacks
                    let rj = ok && self.rejected(c, 1 - src, e.val); if rj && c.am.rej_dirty { t.cdirty[src] |= 16 << k; } let ok = ok && !rj;
                    if ok { t.st[1 - src][k] = e; } t.kst[k] = 3; t.buf[k] = Ent::default(); let q = t.check(c);
                    emit!(o, t, q, "{} key{} {}@{} on {}: {}", if un { "preload loads" } else { "replay puts" }, k, vname(e.val), sts(e.st), sname(1 - src as u8), if ok { "applied" } else { "superseded" }); }
            }
            if c.rep_to { for k in 0..c.nkeys { if self.kst[k] == 2 && self.b_ro == 0 && self.buf[k].st != 0 { let mut t = *self; t.b_ro = 1; t.ro = 1 + (1 - src as u8); t.rsv[5] = self.rsv[6]; t.ro_key = k as u8; t.ro_st = t.buf[k].st; t.ro_val = t.buf[k].val; emit!(o, t, None, "replay put of key{} {}@{} times out (copy still in the network), will be re-sent", k, vname(t.ro_val), sts(t.ro_st)); } } }
            if (0..c.nkeys).all(|k| self.kst[k] == 0 || self.kst[k] == 3) { let mut t = *self; t.kst = [0; NK]; t.rdirty = [0, 0]; t.rsv[6] = 0; if c.clear_all { t.cdirty = [0, 0]; for n in 0..NN { t.nodes[n].d0 = 0; t.nodes[n].d1 = 0; } } let full = t.ract == 1; t.ract = 0; if full { t.pc += 1; } let q = t.check(c); emit!(o, t, q, "replay finished"); }
        }
        if self.ro != 0 { let s = self.ro as usize - 1; let k = self.ro_key as usize;
            let mut t = *self; t.ro = 0; t.rsv[5] = 0; t.ro_st = 0; t.ro_val = 0; t.ro_key = 0; let u = t; if (self.rsv[5] == 1 || self.st[s][k].st < self.ro_st) && !self.rejected(c, s, self.ro_val) { t.st[s][k] = Ent { st: self.ro_st, val: self.ro_val }; }
            let q = t.check(c); emit!(o, t, q, "LATE: delayed {} put of key{} {}@{} reaches {}", if self.rsv[5] == 1 { "preload" } else { "replay" }, k, vname(self.ro_val), sts(self.ro_st), sname(s as u8));
            emit!(o, u, None, "delayed replay put is lost for good"); }
        // nodes
        for n in 0..NN {
            let nd = self.nodes[n]; let dead = self.dead >> n & 1 == 1;
            if nd.stt == 0 { if n == 2 && self.b_join > 0 {
                    let lo = if c.join_stale { 0 } else { self.nrev - 1 };
                    for r in lo..self.nrev { let mut t = *self; t.b_join -= 1; let x = &mut t.nodes[n]; x.stt = 1; x.rev = r; x.acked = r; x.reg = !c.join_unreg as u8; x.clk = c.skew[2]; x.hb = 0; let q = t.check(c); emit!(o, t, q, "node{} starts with rev{}{}", n, r, if c.join_unreg { " (fetched, not yet registered)" } else { "" }); } }
                continue; }
            if nd.stt == 2 { if !dead { if !(c.dead_quiet && false) { let mut t = *self; t.declare(c, n); let q = t.check(c); emit!(o, t, q, "operator declares node{} dead{}", n, if c.dead_dirty { ", its writes count as dirty" } else { "" }); } } continue; }
            if nd.reg == 0 { let mut t = *self; t.nodes[n].reg = 1; emit!(o, t, None, "node{} is registered (counted from now on)", n); }
            if !dead || c.zombie_apply { for r in nd.rev + 1..self.nrev { let mut t = *self; t.nodes[n].rev = r; let f = if c.am.cohort { 0 } else { t.revs[r as usize][2] }; t.observe(n, f); let q = t.check(c); emit!(o, t, q, "node{} applies rev{}", n, r); } }
            if !dead && nd.acked < nd.rev {
                let mut ok = true;
                for i in 0..c.ops.len() { let p = &self.ops[i]; if p.ph == P_NEW || p.node as usize != n || p.rev >= nd.rev || c.ops[i].k == Kind::Read || p.ph == P_RD { continue; }
                    if p.ph == P_LEAD && self.rule(nd.rev, 0) & E != 0 && p.lead == 1 { continue; }
                    if c.ack_inflight && p.ph == P_LEAD { ok = false; }
                    if c.ack_mirror && p.ph == P_MIR { ok = false; }
                    if c.ack_unknown && p.ph == P_UNK && p.fl & F_SAW != 0 { ok = false; } }
                if c.ack_reads && self.rsv[0] == 1 && self.rsv[2] as usize == n && self.rsv[1] < nd.rev { ok = false; }
                if ok { let mut t = *self; t.nodes[n].acked = nd.rev; let mut em = false; if self.rule(nd.rev, 0) & E != 0 { for i in 0..c.ops.len() { let p = t.ops[i]; if p.ph == P_LEAD && p.node as usize == n && p.lead == 1 && p.rev < nd.rev { em = true; t.ops[i].ph = P_UNK; if p.fl & F_OL != 0 { t.oc[i] += 1; } t.ops[i].fl |= F_OL; if !c.am.em_nodirt { t.dirty_op(c, i); } } } } if c.ack_dirty { t.hand_over(c, n); } let q = t.check(c); emit!(o, t, q, "node{} acks rev{}{}", n, nd.rev, if em { " (unresolved lead put: OutcomeUnknown, key in the dirt)" } else { "" }); }
            }
            if !dead && nd.d0 | nd.d1 != 0 { let mut t = *self; t.hand_over(c, n); emit!(o, t, None, "node{} reports its dirty keys", n); }
            if c.range && !dead { let w = self.wm(c, n); if w > nd.hb { let mut t = *self; t.nodes[n].hb = w; emit!(o, t, None, "node{} heartbeat mirroredThrough={}", n, sts(w)); } }
            if self.b_crash > 0 && (n < 2 || c.same_id) { let mut t = *self; t.b_crash -= 1; t.nodes[n].stt = 2; t.nodes[n].d0 = 0; t.nodes[n].d1 = 0;
                for i in 0..c.ops.len() { let p = &mut t.ops[i]; if p.node as usize != n { continue; } match p.ph { P_LEAD => { p.ph = P_UNK; if p.fl & F_OL != 0 { t.oc[i] += 1; } p.fl |= F_OL | F_DEADN; } P_RD => { p.ph = P_FAIL; } P_MIR => { p.fl |= F_OM | F_DEADN; if p.fl & F_ACK == 0 { p.ph = P_UNK } else { p.ph = P_DONE } } P_UNK => { p.fl |= F_DEADN; } _ => {} } }
                emit!(o, t, None, "node{} crashes", n); }
            if self.b_zomb > 0 && !dead && n == 0 { let mut t = *self; t.b_zomb -= 1; t.declare(c, n); let q = t.check(c); emit!(o, t, q, "operator declares node{} dead (it is alive: zombie)", n); }
        }
        // one slow read of key0: captures the ruleset, reads the store later; must return a value the register had in between
        if c.slow_read {
            if self.rsv[0] == 0 { for n in 0..NN { if !self.live(n) || self.dead >> n & 1 == 1 { continue; } let r = self.rule(self.nodes[n].rev, 0); if r & H != 0 && c.hold_reads { continue; }
                let mut t = *self; t.rsv[0] = 1; t.rsv[1] = self.nodes[n].rev; t.rsv[2] = n as u8; emit!(o, t, None, "node{} (rev{}): slow read of key0 begins, will go to {}", n, t.rsv[1], sname(r & A)); } }
            else if self.rsv[0] == 1 && self.nodes[self.rsv[2] as usize].stt == 1 { let s = (self.rule(self.rsv[1], 0) & A) as usize; let v = self.st[s][0].val; let mut t = *self; t.rsv = [2, 0, 0, 0, 0, 0, 0];
                let q = if self.rsv[3] >> v & 1 == 0 && c.check_lin { Some(format!("P2: slow read returns {} from {} which the key never had since the read began", vname(v), sname(s as u8))) } else { None };
                emit!(o, t, q, "slow read reads {} -> {}", sname(s as u8), vname(v)); }
        }
        // client operations
        for i in 0..c.ops.len() {
            let d = c.ops[i]; let k = d.key as usize; let p = self.ops[i];
            if p.ph == P_RD { let n = p.node as usize; if !self.live(n) { continue; } let rv = self.nodes[n].rev; let r = self.krule(c, rv, k);
                let neg = c.am.upd3 == 3;
                if !neg && (r & H != 0 || (c.am.upd3 == 1 && rv != p.rev)) { let mut t = *self; t.ops[i] = Op::default(); let q = t.check(c); emit!(o, t, q, "node{} drops {} before its CAS ({}), will re-run from the read", n, opname(c, i), if r & H != 0 { "HOLD" } else { "new ruleset" }); continue; }
                let mut t = *self; if !neg { t.ops[i].rev = rv; t.ops[i].lead = r & A; } t.ops[i].ph = P_LEAD; t.ops[i].stamp = t.stamp(c, n); let z = t.check(c); let q = t.ops[i];
                emit!(o, t, z, "node{} (rev{}): {} sends CAS@{} to {} (ruleset rev{})", n, rv, opname(c, i), sts(q.stamp), sname(q.lead), q.rev); continue; }
            if p.ph == P_NEW {
                if self.pc < d.from { continue; }
                if i > 0 { let e = c.ops[i - 1]; if e.k == d.k && e.key == d.key && e.node == d.node && self.ops[i - 1].ph == P_NEW { continue; } }
                if d.k == Kind::OutPut || d.k == Kind::OutDel { let mut t = *self; if t.st[0][k].st == 0 && d.k == Kind::OutDel { continue; }
                    let st = t.st[0][k].st.max(1);
                    t.st[0][k] = if d.k == Kind::OutPut { Ent { st, val: i as u8 + 1 } } else { Ent::default() };
                    t.ops[i].ph = P_MIR; t.ops[i].rdv = 0; let v = t.ret_out(c, i); t.ops[i].ph = P_DONE; let q = t.check(c); emit!(o, t, v.or(q), "{} of key{} on OLD, stamp column untouched", opname(c, i), k); continue; }
                for n in 0..NN { if !self.live(n) || (d.node != ANY && d.node as usize != n) { continue; }
                    let rv = self.nodes[n].rev; let r = self.krule(c, rv, k); let s = r & A;
                    if d.k == Kind::Read {
                        if r & H != 0 && c.hold_reads { continue; } if self.down >> s & 1 == 1 { continue; }
                        let mut t = *self; let v = t.st[s as usize][k].val; let l = t.closure(c, k); let ok = l[v as usize] != 0; t.lin[k] = [0; 8]; t.lin[k][v as usize] = l[v as usize]; t.ops[i].ph = P_DONE; t.observe(n, t.st[s as usize][k].st);
                        let viol = if !ok && c.check_lin { Some(format!("P2: read at node{} from {} returns {} - not linearizable", n, sname(s), vname(v))) } else { None };
                        let q = if viol.is_none() { t.check(c) } else { None };
                        emit!(o, t, viol.or(q), "node{} (rev{}): read r{} of key{} on {} -> {}", n, rv, i, k, sname(s), vname(v)); continue; }
                    if r & H != 0 && !c.hold_expire { continue; }
                    let mut t = *self; let mut q = Op { ph: P_LEAD, node: n as u8, rev: rv, stamp: 0, exp: 0, rdv: 0, fl: 0, lead: s };
                    if d.k == Kind::Upd { if self.down >> s & 1 == 1 { continue; } let e = t.st[s as usize][k]; q.exp = e.st; q.rdv = e.val; t.observe(n, e.st); }
                    if d.k == Kind::Upd && c.am.upd3 > 0 { q.ph = P_RD; t.ops[i] = q; let z = t.check(c); emit!(o, t, z, "node{} (rev{}): {} reads key{} on {}: {}@{}, CAS not sent yet", n, rv, opname(c, i), k, sname(s), vname(q.rdv), sts(q.exp)); continue; }
                    if c.am.late_stamp && r & S == 0 { q.stamp = 1 } else { q.stamp = t.stamp(c, n); } t.ops[i] = q; let z = t.check(c);
                    emit!(o, t, z, "node{} (rev{}): {} of key{}@{} sends lead put to {}{}", n, rv, opname(c, i), k, sts(q.stamp), sname(s), if d.k == Kind::Upd { format!(" (has read {}@{})", vname(q.rdv), sts(q.exp)) } else { String::new() });
                }
                continue;
            }
            if p.ph == P_LEAD {
                if self.down >> p.lead & 1 == 0 {
                    let mut t = *self; let r = t.lead_put(c, i); let to = p.fl & F_TO != 0; let mut v = None; let n = p.node as usize; let what;
                    match r {
                        0 | 1 => { what = "applied"; v = t.after_lead(c, i); }
                        2 => { if !c.retry_sup { what = "superseded, taken as success"; v = t.after_lead(c, i); } else if to && !c.dup_retry { what = "superseded, outcome stays unknown"; t.ops[i].ph = P_UNK; } else { what = "superseded, retried with larger stamp"; let cs = t.st[p.lead as usize][k].st; t.observe(n, cs); t.ops[i].stamp = t.stamp(c, n); if !to { } } }
                        3 => { if to && !c.dup_retry { what = "conflict, outcome stays unknown"; t.ops[i].ph = P_UNK; } else if c.am.upd3 > 0 { what = "conflict, re-run from the read"; v = t.no_effect(c, i); t.ops[i] = Op::default(); } else { what = "conflict, re-read and retry"; if !to { v = t.no_effect(c, i); } let e = t.st[p.lead as usize][k]; t.ops[i].exp = e.st; t.ops[i].rdv = e.val; t.observe(n, e.st); if p.stamp != 1 { t.ops[i].stamp = t.stamp(c, n); } } }
                        _ => { what = "rejected by fence"; if to { t.ops[i].ph = P_UNK; if !c.fence_clean && t.krule(c, p.rev, k) & M != 0 { t.dirty_add(n, p.lead, k); } } else { v = t.no_effect(c, i); t.ops[i].ph = P_FAIL; } }
                    }
                    let q = if v.is_none() { t.check(c) } else { None };
                    emit!(o, t, v.or(q), "{}: lead put of {} {} -> key{} {}@{}", sname(p.lead), opname(c, i), what, k, vname(t.st[p.lead as usize][k].val), sts(t.st[p.lead as usize][k].st));
                }
                if c.am.dl { let gone = self.lead_gone(i);
                    if p.fl & F_TO == 0 || (c.am.exp_definite && gone) { let mut t = *self; let v = t.no_effect(c, i); t.ops[i].ph = P_FAIL; let q = t.check(c); emit!(o, t, v.or(q), "lead put of {} arrives after its deadline: 'expired', taken as definite failure", opname(c, i)); }
                    else if c.am.giveup && (gone || c.am.giveup_early) { let mut t = *self; t.ops[i].ph = P_UNK; if t.krule(c, p.rev, k) & M != 0 && !c.am.giveup_nodirt { t.dirty_op(c, i); } let q = t.check(c); emit!(o, t, q, "last re-send of {} 'expired'{}: node gives up, OutcomeUnknown, key dirty", opname(c, i), if gone { ", every deadline passed" } else { " (an earlier copy still alive)" }); } }
                let noresend = c.am.late_stamp && (p.stamp == 1 || (t_s2(self.krule(c, p.rev, k)) && !c.am.mix_resend));
                if self.b_to > 0 && (p.fl & F_TO == 0 || (c.am.dl && self.oc[i] == 0)) { let mut t = *self; t.b_to -= 1; if t.ops[i].fl & F_OL != 0 { t.oc[i] += 1; } t.ops[i].fl |= F_TO | F_OL; if !c.resolve || noresend { t.ops[i].ph = P_UNK; t.ops[i].fl |= F_SAW; if c.to_dirty && t.krule(c, p.rev, k) & M != 0 { t.dirty_add(p.node as usize, p.lead, k); } } let q = t.check(c); emit!(o, t, q, "lead put of {} times out at node{} (copy still in the network){}", opname(c, i), p.node, if c.resolve && !noresend { "; node will re-send with the same stamp" } else { "; caller told 'unknown'" }); }
            }
            if p.ph == P_MIR && c.ops[i].k != Kind::OutPut {
                let fol = 1 - p.lead;
                if self.down >> fol & 1 == 0 { let mut t = *self; let rj = t.mir_rejected(c, i); let ok = if rj { if c.am.rej_dirty { let n = p.node as usize; t.dirty_add(n, p.lead, k + 4); } true } else { t.mirror_put(c, i) }; let mut v = None; if p.fl & F_ACK == 0 { v = t.ret_ok(c, i); } t.ops[i].ph = P_DONE; if !ok && c.sup_repair { let n = p.node as usize; t.dirty_add(n, fol, k); t.dirty_add(n, p.lead, k); } let q = if v.is_none() { t.check(c) } else { None }; emit!(o, t, v.or(q), "{}: mirror put of {} {}", sname(fol), opname(c, i), if rj { "REJECTED for good" } else if ok { "applied" } else { "superseded" }); }
                if self.b_fail > 0 || self.down >> fol & 1 == 1 { let mut t = *self; if self.down >> fol & 1 == 0 { t.b_fail -= 1; } t.ops[i].fl |= F_OM; t.dirty_op(c, i); let mut v = None; if p.fl & F_ACK == 0 { v = t.ret_ok(c, i); } t.ops[i].ph = P_DONE; let q = if v.is_none() { t.check(c) } else { None }; emit!(o, t, v.or(q), "mirror put of {} fails/shed at node{} (key dirty; a copy may still be in the network)", opname(c, i), p.node); }
            }
            // orphans
            if p.fl & F_OL != 0 && self.ops[i].ph != P_NEW {
                if self.down >> p.lead & 1 == 0 { let mut t = *self; t.drop_lead(i); let r = t.lead_put(c, i); if p.ph == P_UNK && t.ops[i].fl & F_OL == 0 { t.ops[i].fl &= !F_SAW; }
                    if r == 0 || c.drop_ev { let q = t.check(c); emit!(o, t, q, "LATE: delayed lead put of {}@{} reaches {}: {}", opname(c, i), sts(p.stamp), sname(p.lead), if r == 0 { "APPLIED" } else { "no effect" }); } }
                if (c.am.nonatomic || (c.am.first && self.oc[i] > 0)) && p.fl & F_XL == 0 { let mut t = *self; t.ops[i].fl |= F_XL; if p.ph == P_UNK { t.ops[i].fl &= !F_SAW; } emit!(o, t, None, "{} of lead put of {} passes", if c.am.first { "deadline of the first copy" } else { "deadline (store had already checked it)" }, opname(c, i)); }
                if c.drop_ev { let mut t = *self; t.drop_lead(i); if t.ops[i].fl & F_OL == 0 { t.ops[i].fl &= !F_SAW; } emit!(o, t, None, "deadline of a delayed lead put of {} passes at the store: it can never be applied", opname(c, i)); }
            }
            if p.fl & F_OM != 0 { if self.down >> (1 - p.lead) & 1 == 0 { let mut t = *self; t.ops[i].fl &= !(F_OM | F_XM); let ch = !t.mir_rejected(c, i) && t.mirror_put(c, i); if ch || c.drop_ev { let q = t.check(c); emit!(o, t, q, "LATE: delayed mirror put of {}@{} reaches {}: {}", opname(c, i), sts(p.stamp), sname(1 - p.lead), if ch { "applied" } else { "no effect" }); } }
                if c.am.nonatomic && p.fl & F_XM == 0 { let mut t = *self; t.ops[i].fl |= F_XM; emit!(o, t, None, "deadline of delayed mirror put of {} passes (store had already checked it)", opname(c, i)); }
                if c.drop_ev { let mut t = *self; t.ops[i].fl &= !(F_OM | F_XM); emit!(o, t, None, "delayed mirror put of {} is lost for good", opname(c, i)); } }
        }
    }
    fn ret_out(&mut self, c: &Cfg, i: usize) -> Option<String> { // outside write: atomic, answered at once
        let k = c.ops[i].key as usize; let l = self.closure2(c, k, i);
        self.lin[k] = l; self.ops[i].fl |= F_ACK; if l.iter().all(|x| *x == 0) && c.check_lin { return Some("P2: outside write not linearizable".into()); } None
    }
    fn closure2(&self, c: &Cfg, k: usize, i: usize) -> [u64; 8] {
        let mut t = *self; let sv = t.ops[i].ph; t.ops[i].ph = P_NEW; let l = t.closure(c, k); t.ops[i].ph = sv;
        let mut x = 0; for v in 0..8 { x |= l[v]; } let mut r = [0; 8]; r[if c.ops[i].k == Kind::OutDel { 0 } else { i + 1 }] = x; r
    }
    fn track(&mut self, c: &Cfg) { if self.rsv[0] == 1 { let l = self.closure(c, 0); for v in 0..8 { if l[v] != 0 { self.rsv[3] |= 1 << v; } } } }
    fn done(&self, c: &Cfg) -> bool { self.pc as usize == c.script.len() && (0..c.ops.len()).all(|i| self.ops[i].ph >= P_DONE && self.ops[i].ph != P_RD) && (c.am.ctl == 0 || self.rule(self.nrev - 1, 0) & H == 0) && (self.quiescent(c) || (c.am.ctl > 0 && c.am.rej > 0) || (c.am.ef && c.am.ctl == 0)) }
    fn dead_orph(&self, c: &Cfg) -> bool { for i in 0..c.ops.len() { let p = &self.ops[i]; if p.ph != P_NEW && self.dead >> p.node & 1 == 1 && !self.lead_gone(i) { return true; } } false }
    fn declare(&mut self, c: &Cfg, n: usize) {
        self.dead |= 1 << n;
        if c.dead_dirty { let r = self.revs[self.nrev as usize - 1]; for k in 0..c.nkeys { if r[k] & M != 0 { self.cdirty[(r[k] & A) as usize] |= 1 << k; if c.dead_both { self.cdirty[1 - (r[k] & A) as usize] |= 1 << k; } } } self.cfrom = self.cfrom.min(self.nodes[n].hb); if self.cfrom == 255 { self.cfrom = self.nodes[n].hb } }
    }
}
impl Cfg { fn p4(&self, _s: u8, _c: u8) -> bool { !self.name.contains("relaxed") && !self.name.contains("emergency") && !self.p4off } }

pub struct Res { pub states: usize, pub depth: usize, pub viol: Option<String>, pub trace: Vec<String>, pub full: bool, pub qend: usize, pub secs: f64 }
pub fn run(c: &Cfg) -> Res {
    let t0 = std::time::Instant::now();
    let s0 = State::init(c);
    let mut seen: HashSet<u64, BuildHasherDefault<H64>> = HashSet::default();
    let mut par: Vec<(u32, u16)> = vec![(u32::MAX, 0)];
    let mut ids: std::collections::HashMap<u64, u32> = Default::default(); let mut edges: Vec<(u32, u32)> = vec![]; let mut dones: Vec<u32> = vec![]; if c.am.ef { ids.insert(hash(&s0), 0); }
    seen.insert(hash(&s0));
    let mut cur: Vec<(State, u32)> = vec![(s0, 0)];
    let mut qend = 0usize; let mut depth = 0; let mut out = Out { v: Vec::new(), lab: false, cfg: c };
    loop {
        let mut nxt = Vec::new();
        for (s, id) in cur.iter() {
            out.v.clear(); s.succ(&mut out);
            for (j, (t, _, v)) in out.v.iter_mut().enumerate() { t.track(c);
                if let Some(v) = v {
                    let mut path = vec![j as u16]; let mut x = *id; while par[x as usize].0 != u32::MAX { path.push(par[x as usize].1); x = par[x as usize].0; } path.reverse();
                    let mut tr = Vec::new(); let mut st = s0; for a in path { let mut o2 = Out { v: Vec::new(), lab: true, cfg: c }; st.succ(&mut o2); let (mut n, l, _) = o2.v.swap_remove(a as usize); tr.push(l.unwrap()); n.track(c); st = n; }
                    return Res { states: par.len(), depth: depth + 1, viol: Some(v.clone()), trace: tr, full: false, qend, secs: t0.elapsed().as_secs_f64() };
                }
                let h = hash(t); if c.am.ef { let nid = par.len() as u32; let e = *ids.entry(h).or_insert(nid); edges.push((*id, e)); if e == nid && t.done(c) { dones.push(e); } }
                if seen.insert(h) { if t.done(c) { qend += 1; } par.push((*id, j as u16)); nxt.push((*t, par.len() as u32 - 1)); }
            }
            if par.len() > c.max { return Res { states: par.len(), depth, viol: None, trace: vec![], full: false, qend, secs: t0.elapsed().as_secs_f64() }; }
        }
        if nxt.is_empty() && c.am.ef { let n = par.len(); let mut cnt = vec![0u32; n + 1]; for e in &edges { cnt[e.1 as usize + 1] += 1; } for i in 0..n { cnt[i + 1] += cnt[i]; } let mut pr = vec![0u32; edges.len()]; let mut at = cnt.clone(); for e in &edges { pr[at[e.1 as usize] as usize] = e.0; at[e.1 as usize] += 1; }
            let mut ok = vec![false; n]; let mut st = dones.clone(); for d in &dones { ok[*d as usize] = true; } while let Some(x) = st.pop() { for j in cnt[x as usize]..cnt[x as usize + 1] { let p = pr[j as usize]; if !ok[p as usize] { ok[p as usize] = true; st.push(p); } } }
            if let Some(b) = (0..n).find(|x| !ok[*x]) { let mut path = vec![]; let mut x = b as u32; while par[x as usize].0 != u32::MAX { path.push(par[x as usize].1); x = par[x as usize].0; } path.reverse(); let mut tr = Vec::new(); let mut st = s0; for a in path { let mut o2 = Out { v: Vec::new(), lab: true, cfg: c }; st.succ(&mut o2); let (mut n, l, _) = o2.v.swap_remove(a as usize); tr.push(l.unwrap()); n.track(c); st = n; }
                return Res { states: n, depth, viol: Some(format!("STUCK: from here no end state (released, drained, all operations ended) can be reached; {} such states", ok.iter().filter(|x| !**x).count())), trace: tr, full: false, qend, secs: t0.elapsed().as_secs_f64() }; } }
        if nxt.is_empty() { return Res { states: par.len(), depth, viol: None, trace: vec![], full: true, qend, secs: t0.elapsed().as_secs_f64() }; }
        depth += 1; cur = nxt;
    }
}
