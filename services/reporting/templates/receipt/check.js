// Checks an order's receipt: the same steps, in the same order and under the same names, as `danbao verify receipt`
// (services/verify/receipt.py); tests/domain/receipt_vectors.json holds both together. Makes no request.
const OrderReceipts = (() => {
  const VERSION = 1, ENTRY = { 1: 90, 2: 162 }, SIGNED = 98, HASH = 32, MOST_ROWS = 64, LARGEST = 262144;
  const ED25519 = 1, COSIGNATURE = 4;
  const BLOCK = 12, BLOCK_DIGITS = 29, REST_DIGITS = [0, 3, 5, 8, 10, 13, 15, 17, 20, 22, 25, 27];
  const NOTHING = -(2n ** 63n);
  const HEAD_KINDS = 4;
  const utf8 = new TextEncoder();
  const text = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

  class NotProved extends Error {
    constructor(step, reason) { super(reason); this.step = step; }
  }
  const fail = (step, reason) => { throw new NotProved(step, reason); };

  // --- bytes -------------------------------------------------------------------------------------------------------
  const concat = (...parts) => {
    const found = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let place = 0;
    for (const part of parts) { found.set(part, place); place += part.length; }
    return found;
  };
  const same = (one, other) => one.length === other.length && one.every((byte, place) => byte === other[place]);
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const number = (bytes) => bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const signed = (bytes) => BigInt.asIntN(bytes.length * 8, number(bytes));
  const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
  const leafHash = (content) => sha256(Uint8Array.of(0), content);

  const fromBase64 = (written) => {
    const letters = Array.from(atob(written), (letter) => letter.charCodeAt(0));
    if (btoa(String.fromCharCode(...letters)) !== written) throw new Error("not base64 as it is written here");
    return Uint8Array.from(letters);
  };
  const fromDigits = (written) => {
    const parts = [];
    for (let place = 0; place < written.length; place += BLOCK_DIGITS) {
      const digits = written.slice(place, place + BLOCK_DIGITS);
      const width = digits.length === BLOCK_DIGITS ? BLOCK : REST_DIGITS.indexOf(digits.length);
      const value = BigInt(digits);
      if (width < 1 || value >> BigInt(8 * width)) throw new Error("no digits of a receipt");
      parts.push(Uint8Array.from({ length: width }, (_, at) => Number((value >> BigInt(8 * (width - 1 - at))) & 255n)));
    }
    return concat(...parts);
  };
  const bytesOf = (given) => {
    const written = given.trim().split("#").pop();
    if (written.length > LARGEST * 3) throw new Error("too long");
    if (/^[0-9]+$/.test(written)) return fromDigits(written);
    if (!/^[A-Za-z0-9_-]+$/.test(written)) throw new Error("neither base64url nor digits");
    const plain = written.replaceAll("-", "+").replaceAll("_", "/");
    const binary = atob(plain + "=".repeat((4 - (plain.length % 4)) % 4));
    return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  };

  const reader = (data) => {
    let place = 0;
    const take = (count) => {
      if (place + count > data.length) throw new Error(`it ends at byte ${data.length}, within something`);
      place += count;
      return data.subarray(place - count, place);
    };
    return { take, number: (width) => Number(number(take(width))), big: (width) => number(take(width)),
      signed: (width) => signed(take(width)), rest: () => data.length - place };
  };

  // --- the receipt's form (shared/domain/order_receipt.py) -----------------------------------------------------------
  const parse = (given) => {
    const from = reader(bytesOf(given));
    const version = from.number(1), count = from.number(1);
    if (version !== VERSION || count < 1 || count > MOST_ROWS) throw new Error(`not a receipt of version ${VERSION}`);
    const proof = (before) => {
      const hashes = from.number(1), shared = from.number(1);
      if (shared > Math.min(hashes, before.length)) throw new Error("a proof that shares more than there is");
      const own = Array.from({ length: hashes - shared }, () => from.take(HASH));
      return own.concat(before.slice(before.length - shared));
    };
    const entry = () => {  // one of no version is taken for the first, and refused by the step that reads it
      const version = from.take(1);
      return concat(version, from.take((ENTRY[version[0]] ?? ENTRY[1]) - 1));
    };
    const rows = [];
    for (let at = 0; at < count; at++) {
      const before = rows[at - 1] ?? { batchProof: [], logProof: [] };
      rows.push({ content: from.take(from.number(2)), rank: from.big(4), batchProof: proof(before.batchProof),
        entry: entry(), index: from.big(8), logProof: proof(before.logProof) });
    }
    const note = from.take(from.number(2));
    if (from.rest()) throw new Error("bytes follow on the receipt");
    return { rows, note };
  };

  // --- a row's leaf (shared/domain/leaf.py) --------------------------------------------------------------------------
  const isCharge = (kind) => kind === 1 || (kind >= 8 && kind % 2 === 0);
  const isReversal = (kind) => kind === 4 || (kind >= 9 && kind % 2 === 1);
  const readLeaf = (content) => {
    const from = reader(content);
    const version = from.number(1), kind = from.number(1);
    if (version !== 1 || !((kind >= 1 && kind <= 4) || kind >= 8)) throw new Error("not a leaf of an order's row");
    const row = { kind, uscc: text(from.take(18)), acceptedAt: from.signed(8), endedAt: from.signed(8) };
    from.take(8);
    Object.assign(row, { premium: from.signed(8), region: from.number(4), tariffLine: from.number(4),
      tokenKey: from.number(2), industry: from.number(2), reason: from.number(2), departed: Number(from.signed(1)),
      worker: hex(from.take(32)), received: hex(from.take(32)) });
    const optional = () => { const length = from.number(2); return length === 0xffff ? null : text(from.take(length)); };
    row.orderId = optional(); row.series = optional(); row.agency = optional(); row.insuranceNo = optional();
    if (row.orderId === null || from.rest()) throw new Error("a row's leaf with texts that do not fit");
    if (row.endedAt === NOTHING) row.endedAt = null;
    return row;
  };
  const checkOneOrder = (rows) => {
    if (rows[0].kind !== 1) fail("order", "the first row is not the acceptance");
    const identity = (row) => [row.uscc, row.orderId, row.worker, row.acceptedAt].join("|");
    rows.slice(1).forEach((row, at) => {
      if (identity(row) !== identity(rows[at])) fail("order", "its rows are of several orders, workers or times");
      if (row.kind <= rows[at].kind) fail("order", "a row comes twice, or not in its order");
    });
  };
  const checkExpected = (row, expected) => {
    for (const [what, found] of [["worker", row.worker], ["order", row.orderId], ["enterprise", row.uscc]]) {
      if (expected[what] && expected[what] !== found) fail(what, `this receipt is for ${what} ${found}, not for ${expected[what]}`);
    }
  };

  // --- Merkle proofs (RFC 9162, 2.1.3.2) -------------------------------------------------------------------------------
  const isIncluded = async (leaf, index, size, proof, root) => {
    if (index >= size) return false;
    let node = leaf, last = size - 1n, at = 0;
    while (last > 0n) {
      if (index & 1n || index < last) {
        const sibling = proof[at++];
        if (sibling === undefined) return false;
        node = index & 1n ? await sha256(Uint8Array.of(1), sibling, node) : await sha256(Uint8Array.of(1), node, sibling);
      }
      index >>= 1n; last >>= 1n;
    }
    return at === proof.length && same(node, root);
  };
  const readEntry = (entry) => {
    if (ENTRY[entry[0]] !== entry.length || entry[1] < 1 || entry[1] > HEAD_KINDS) throw new Error("an entry that is no head of a manifest");
    return { run: hex(entry.subarray(2, 18)), number: number(entry.subarray(18, 22)), leaves: number(entry.subarray(22, 26)),
      root: entry.subarray(26, 58), isSigned: entry[0] === 2, author: hex(entry.subarray(94, 98)),
      statement: concat(utf8.encode("danbao log entry/v2\n"), entry.subarray(0, SIGNED)),
      signature: entry.subarray(SIGNED) };
  };

  // --- signed notes and checkpoints (C2SP) -----------------------------------------------------------------------------
  const readKey = async (line) => {
    const [vkey, role] = line.trim().split(/\s+/);
    const [name, id, ...rest] = vkey.split("+");
    const data = fromBase64(rest.join("+"));
    if (data.length !== 33 || (data[0] !== ED25519 && data[0] !== COSIGNATURE)) throw new Error("not a key for Ed25519");
    const digest = await sha256(utf8.encode(name + "\n"), data);
    if (!name || hex(digest.subarray(0, 4)) !== id) throw new Error("the key id is not that of name and key");
    return { name, id, kind: data[0], key: data.subarray(1), role: role ?? null };
  };
  const readNote = (bytes) => {
    const whole = text(bytes), split = whole.lastIndexOf("\n\n");
    if (split < 0 || !whole.endsWith("\n") || split + 2 >= whole.length) throw new Error("no signed note");
    const lines = whole.slice(split + 2, -1).split("\n").map((line) => {
      const match = /^\u2014 ([^\s+]+) (\S+)$/u.exec(line);
      const data = match && fromBase64(match[2]);
      if (!data || data.length < 5) throw new Error("no signature line");
      return { name: match[1], id: hex(data.subarray(0, 4)), data: data.subarray(4) };
    });
    return { text: whole.slice(0, split + 1), lines };
  };
  const readCheckpoint = (written) => {
    const [origin, size, root, ...rest] = written.slice(0, -1).split("\n");
    const isWhole = origin && /^(0|[1-9][0-9]{0,18})$/.test(size ?? "") && root && rest.every((line) => line);
    const found = isWhole && { origin, size: BigInt(size), root: fromBase64(root) };
    if (!found || found.root.length !== HASH) throw new Error("no checkpoint");
    return found;
  };
  const isSigned = async (key, message, signature) => {
    try {
      const native = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
      return await crypto.subtle.verify({ name: "Ed25519" }, native, signature, message);
    } catch {
      return verifyAsync(signature, message, key, { zip215: false }).catch(() => false);  // @noble/ed25519
    }
  };
  const checkNote = async (note, keys, step) => {
    const held = [];
    for (const { name, id, data } of note.lines) {
      const key = keys.find((each) => each.name === name && each.id === id);
      if (!key) continue;
      const time = key.kind === COSIGNATURE ? number(data.subarray(0, 8)) : null;
      const message = time === null ? note.text : `cosignature/v1\ntime ${time}\n${note.text}`;
      const signature = time === null ? data : data.subarray(8);
      if (signature.length !== 64 || !(await isSigned(key.key, utf8.encode(message), signature))) {
        fail(step, `the signature of ${name} does not hold`);
      }
      held.push({ name, time });
    }
    return held;
  };
  const checkCheckpoint = async (data, keys) => {
    const note = step("checkpoint", () => readNote(data));
    const checkpoint = step("checkpoint", () => readCheckpoint(note.text));
    const own = "signature of the log", witness = "cosignature of the witness";
    const signers = await checkNote(note, keys.filter((key) => key.kind === ED25519), own);
    if (!signers.some(({ name }) => name === checkpoint.origin)) fail(own, `no known key of ${checkpoint.origin} has signed it`);
    const witnesses = keys.filter((key) => key.kind === COSIGNATURE);
    const cosigned = await checkNote(note, witnesses, witness);
    if (witnesses.length && !cosigned.length) fail(witness, "none of the known witnesses has cosigned it");
    return { ...checkpoint, cosigned };
  };
  // An entry of version 2 is signed by charging; one of version 1 has no author, and must not follow on one that has.
  const checkAuthors = async (heads, authors) => {
    const signed = heads.filter(({ head }) => head.isSigned), unsigned = heads.filter(({ head }) => !head.isSigned);
    for (const { head, at } of signed) {
      const held = await Promise.all(authors.filter((key) => key.id === head.author)
        .map((key) => isSigned(key.key, head.statement, head.signature)));
      if (!held.some(Boolean)) fail(`author of row ${at}`, "no known key of charging has signed its batch");
    }
    for (const { index, at } of unsigned) {
      if (signed.some((other) => other.index < index)) fail(`author of row ${at}`, "it follows on signed entries, unsigned");
    }
    return { signed: signed.length, unsigned: unsigned.length };
  };
  const step = (name, work) => {
    try { return work(); } catch (error) { return fail(name, error.message); }
  };

  // --- all of it ---------------------------------------------------------------------------------------------------------
  const verify = async (given, vkeys, expected = {}) => {
    const receipt = step("receipt", () => parse(given));
    const known = await Promise.all(vkeys.map(readKey));
    const keys = known.filter((key) => !key.role), authors = known.filter((key) => key.role === "charging");
    const rows = receipt.rows.map((row) => step("leaf of the order", () => readLeaf(row.content)));
    checkOneOrder(rows);
    checkExpected(rows[0], expected);
    const checkpoint = await checkCheckpoint(receipt.note, keys);
    const heads = [];
    for (const [at, row] of receipt.rows.entries()) {
      const head = step(`entry of row ${at + 1}`, () => readEntry(row.entry));
      const inBatch = await isIncluded(await leafHash(row.content), row.rank, head.leaves, row.batchProof, head.root);
      if (!inBatch) fail(`batch proof of row ${at + 1}`, "the row does not lead to its batch's root");
      const inLog = await isIncluded(await leafHash(row.entry), row.index, checkpoint.size, row.logProof, checkpoint.root);
      if (!inLog) fail(`log proof of row ${at + 1}`, "the batch does not lead to the checkpoint's root");
      heads.push({ head, index: row.index, at: at + 1 });
    }
    const made = await checkAuthors(heads, authors);
    return { rows, checkpoint, made, charge: rows.filter((row) => isCharge(row.kind)).pop(),
      isTakenBack: isReversal(rows.at(-1).kind), ends: rows.filter((row) => row.kind === 2 || row.kind === 3) };
  };
  return { verify, readKey };
})();
