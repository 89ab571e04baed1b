// A correct receiver for Node: one file descriptor per chunk, no lock, no memory of LSNs; knows `abort`, `multi`, `restart`.
import fs from 'node:fs'; import path from 'node:path'; import readline from 'node:readline';
const T = new Uint32Array(256).map((_, i) => { for (let k = 0; k < 8; k++) i = (i >>> 1) ^ (i & 1 ? 0x82f63b78 : 0); return i });
const crc = (c, d) => { c = ~c; for (const b of d) c = T[(c ^ b) & 255] ^ (c >>> 8); return ~c >>> 0 };
let root = null; const run = new Map(), owed = new Set();
const at = n => path.join(root, 'recv_snapshots', n);
const valid = s => /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(s) && !s.endsWith('\n');
class Say extends Error { constructor(o) { super(); this.o = o } }
const no = (reason, extra = {}) => { throw new Say({ reply: 'rejected', reason, ...extra }) };
const io = (operation, f) => { try { return f() } catch (e) { if (!e.code) throw e; throw new Say({ reply: 'failed', operation, kind: (e.code === 'ENOSPC' || e.code === 'EDQUOT' ? 'full' : 'other') + ': ' + e.code }) } };
const num = (v, bits) => { if (typeof v === 'string' ? !/^[0-9]+$/.test(v) : !(Number.isSafeInteger(v) && v >= 0)) throw new TypeError('number'); const n = BigInt(v); if (n >> BigInt(bits)) throw new TypeError('range'); return n };
const gone = p => { try { fs.unlinkSync(p) } catch (e) { if (e.code !== 'ENOENT') throw e } };
const syncDir = p => { const f = fs.openSync(p, 'r'); try { fs.fsyncSync(f) } finally { fs.closeSync(f) } };
function end(id) { run.delete(id); owed.add(id); gone(at(id + '.partial')); owed.delete(id) }
function endAll() { for (const id of [...run.keys()]) try { end(id) } catch {} root = null; run.clear(); owed.clear() }
function open(dir) {
  if (root) endAll();
  const r = path.join(dir, 'recv_snapshots');
  io('open', () => {
    for (const p of [dir, r]) { const s = fs.lstatSync(p, { throwIfNoEntry: false }); if (!s) fs.mkdirSync(p); else if (!s.isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' }) }
    for (const e of fs.readdirSync(r, { withFileTypes: true })) if (e.name.endsWith('.partial') && valid(e.name.slice(0, -8)) && (e.isFile() || e.isSymbolicLink())) fs.unlinkSync(path.join(r, e.name));
    for (const p of [r, dir, path.dirname(path.resolve(dir))]) syncDir(p);
  });
  root = dir; return { reply: 'opened' };
}
function chunk(e) {
  const id = e.source_database_id, cl = e.source_cluster_id;
  if (typeof id !== 'string' || typeof cl !== 'string' || typeof e.done !== 'boolean' || typeof e.data !== 'string') throw new TypeError('field');
  const lsn = num(e.snapshot_lsn, 64), total = num(e.total_bytes, 64), declared = Number(num(e.total_crc32c, 32)), off = num(e.offset, 64);
  const data = Buffer.from(e.data, 'base64'); if (data.toString('base64') !== e.data) throw new TypeError('base64');
  const n = BigInt(data.length), bytes = Buffer.byteLength(cl);
  if (!valid(id)) no('invalid_database_id'); if (bytes < 1 || bytes > 200) no('invalid_cluster_id');
  let t = run.get(id); const key = JSON.stringify([cl, `${lsn}`, `${total}`, declared]);
  const resume = t && t.key === key ? Number(t.next) : 0;
  if (off > 0n) { if (!t) no('offset_mismatch', { expected: 0, actual: `${off}`, resume_offset: 0 }); if (t.key !== key) no('identity_mismatch', { resume_offset: 0 }); if (t.next !== off) no('offset_mismatch', { expected: `${t.next}`, actual: `${off}`, resume_offset: resume }) }
  if (off + n > total) no('length_overrun', { expected: `${total}`, actual: `${off + n}`, resume_offset: resume });
  if (off === 0n && t && lsn < t.lsn) no('stale_snapshot', { expected: `${t.lsn}`, actual: `${lsn}`, resume_offset: resume });
  const p = at(id + '.partial');
  try {
    if (off === 0n) { io('create', () => { run.delete(id); gone(p); fs.closeSync(fs.openSync(p, 'wx')) }); t = { key, lsn, next: 0n, crc: 0 }; run.set(id, t) }
    const f = io('write', () => fs.openSync(p, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW));
    try {
      io('write', () => { for (let i = 0; i < data.length;) i += fs.writeSync(f, data, i, data.length - i, Number(off) + i) });
      t.next += n; t.crc = crc(t.crc, data);
      if (!e.done) return { reply: 'pending', bytes_done: `${t.next}` };
      if (t.next !== total) no('length_mismatch', { expected: `${total}`, actual: `${t.next}`, resume_offset: 0 });
      if (t.crc !== declared) no('crc_mismatch', { expected: declared, actual: t.crc, resume_offset: 0 });
      io('sync', () => fs.fdatasyncSync(f));
    } finally { fs.closeSync(f) }
    io('publish', () => fs.renameSync(p, at(id + '.snapshot'))); run.delete(id);
    io('sync_directory', () => syncDir(path.join(root, 'recv_snapshots')));
    return { reply: 'committed', snapshot_lsn: `${lsn}`, path: `recv_snapshots/${id}.snapshot` };
  } catch (x) { try { end(id) } catch {} throw x }
}
function abort(q) {
  if ('database_id' in q) { if (typeof q.database_id !== 'string' || !valid(q.database_id)) no('invalid_database_id'); io('remove', () => end(q.database_id)); }
  else {
    let left;
    for (const id of new Set([...run.keys(), ...owed])) try { io('remove', () => end(id)) } catch (x) { left = x }
    if (left) throw left;
  }
  return { reply: 'aborted' };
}
for await (const line of readline.createInterface({ input: process.stdin })) {
  let a, q = {};
  try {
    q = JSON.parse(line);
    a = q.op === 'hello' ? { name: 'node', version: process.version, language: 'javascript', features: ['abort', 'multi', 'restart'] }
      : q.op === 'open' ? open(q.data_dir) : q.op === 'chunk' ? chunk(q.envelope) : q.op === 'abort' ? abort(q)
      : q.op === 'close' ? (root && endAll(), { reply: 'closed' }) : { reply: 'errored', message: 'op' };
  } catch (x) { a = x instanceof Say ? x.o : { reply: 'errored', message: String(x) } }
  fs.writeSync(1, JSON.stringify({ seq: q?.seq ?? null, ...a }) + '\n');
  if (q?.op === 'close') process.exit(0);
}
