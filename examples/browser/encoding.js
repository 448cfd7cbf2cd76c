// Bytes: what agreed objects are written in (deterministic CBOR), what messages are written in (msgpack), hex, and
// addresses (bech32m). Integers up to 2^53 are Numbers, longer ones BigInts; byte strings are Uint8Arrays.

export class Malformed extends Error {}

const TEXT = new TextEncoder();
const READ_TEXT = new TextDecoder("utf-8", { fatal: true });

export const text = (words) => TEXT.encode(words);

export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function equal(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function fromHex(digits) {
  const plain = digits.replace(/\s/g, "");
  if (plain.length % 2 || /[^0-9a-f]/i.test(plain)) throw new Malformed("that is no hex: an even number of 0-9 and a-f is wanted");
  return Uint8Array.from(plain.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export function uint(number, size) {
  const bytes = new Uint8Array(size);
  let left = BigInt(number);
  for (let at = size - 1; at >= 0; at--) {
    bytes[at] = Number(left & 255n);
    left >>= 8n;
  }
  return bytes;
}

const small = (number) => (number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number);

function readUint(bytes, at, size) {
  if (at + size > bytes.length) throw new Malformed("the bytes end too early");
  let number = 0n;
  for (let k = at; k < at + size; k++) number = (number << 8n) | BigInt(bytes[k]);
  return small(number);
}

function slice(bytes, at, size) {
  if (typeof size !== "number" || at + size > bytes.length) throw new Malformed("the bytes end too early");
  return bytes.slice(at, at + size);
}

// --- CBOR: unsigned integers, byte and text strings, booleans and arrays, each in its one shortest form --------------

const DEPTH_MAX = 8;

function head(major, number) {
  const value = BigInt(number);
  if (value < 24n) return Uint8Array.of(major | Number(value));
  for (const [size, word] of [[1, 24], [2, 25], [4, 26], [8, 27]]) {
    if (value < 1n << BigInt(8 * size)) return join(Uint8Array.of(major | word), uint(value, size));
  }
  throw new Malformed("an integer is longer than 64 bits");
}

export function encodeCbor(value) {
  if (value instanceof Uint8Array) return join(head(0x40, value.length), value);
  if (typeof value === "string") return join(head(0x60, text(value).length), text(value));
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (Array.isArray(value)) return join(head(0x80, value.length), ...value.map(encodeCbor));
  return head(0x00, value);
}

// Returns the one value that `bytes` are; other bytes for the same value are refused.
export function decodeCbor(bytes) {
  const [value, end] = readCbor(bytes, 0, 0);
  if (end !== bytes.length) throw new Malformed("bytes are left over");
  if (!equal(encodeCbor(value), bytes)) throw new Malformed("that is not the canonical way to write it");
  return value;
}

function readCbor(bytes, at, depth) {
  if (at >= bytes.length || depth > DEPTH_MAX) throw new Malformed("the bytes end too early, or arrays are too deep");
  const major = bytes[at] & 0xe0;
  const word = bytes[at] & 0x1f;
  if (bytes[at] === 0xf4 || bytes[at] === 0xf5) return [bytes[at] === 0xf5, at + 1];
  const size = { 24: 1, 25: 2, 26: 4, 27: 8 }[word] ?? 0;
  if (word > 27) throw new Malformed("an indefinite length stands in agreed bytes");
  const number = size ? readUint(bytes, at + 1, size) : word;
  const after = at + 1 + size;
  if (major === 0x00) return [number, after];
  if (major === 0x40) return [slice(bytes, after, number), after + number];
  if (major === 0x60) return [READ_TEXT.decode(slice(bytes, after, number)), after + number];
  if (major !== 0x80) throw new Malformed("a kind of value stands there that agreed bytes do not have");
  return readMany(bytes, after, number, depth, readCbor);
}

function readMany(bytes, start, count, depth, read) {
  if (count > bytes.length - start) throw new Malformed("the bytes end too early");
  const items = [];
  let at = start;
  for (let k = 0; k < count; k++) {
    const [item, end] = read(bytes, at, depth + 1);
    items.push(item);
    at = end;
  }
  return [items, at];
}

// --- msgpack: what messages between nodes are made of ------------------------------------------------------------------

export function encodeMessage(value) {
  if (value instanceof Uint8Array) return join(sized(value.length, [[1, 0xc4], [2, 0xc5], [4, 0xc6]]), value);
  if (typeof value === "string") {
    const bytes = text(value);
    return join(bytes.length < 32 ? Uint8Array.of(0xa0 | bytes.length) : sized(bytes.length, [[1, 0xd9], [2, 0xda], [4, 0xdb]]), bytes);
  }
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xc3 : 0xc2);
  if (Array.isArray(value)) {
    const start = value.length < 16 ? Uint8Array.of(0x90 | value.length) : sized(value.length, [[2, 0xdc], [4, 0xdd]]);
    return join(start, ...value.map(encodeMessage));
  }
  return value < 128 ? Uint8Array.of(Number(value)) : sized(value, [[1, 0xcc], [2, 0xcd], [4, 0xce], [8, 0xcf]]);
}

function sized(number, forms) {
  for (const [size, word] of forms) {
    if (BigInt(number) < 1n << BigInt(8 * size)) return join(Uint8Array.of(word), uint(number, size));
  }
  throw new Malformed("a number is too large for a message");
}

export function decodeMessage(bytes) {
  const [value, end] = readMessage(bytes, 0, 0);
  if (end !== bytes.length || !Array.isArray(value)) throw new Malformed("that is no message");
  return value;
}

function readMessage(bytes, at, depth) {
  if (at >= bytes.length || depth > DEPTH_MAX) throw new Malformed("the bytes end too early, or arrays are too deep");
  const word = bytes[at];
  if (word < 0x80) return [word, at + 1];
  if (word >= 0x90 && word < 0xa0) return readMany(bytes, at + 1, word & 15, depth, readMessage);
  if (word >= 0xa0 && word < 0xc0) return [READ_TEXT.decode(slice(bytes, at + 1, word & 31)), at + 1 + (word & 31)];
  if (word === 0xc2 || word === 0xc3) return [word === 0xc3, at + 1];
  const size = { 0xc4: 1, 0xc5: 2, 0xc6: 4, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4 }[word];
  if (size === undefined) throw new Malformed("a kind of value stands there that messages here do not have");
  const number = readUint(bytes, at + 1, size);
  const after = at + 1 + size;
  if (word >= 0xcc && word <= 0xcf) return [number, after];
  if (word <= 0xc6) return [slice(bytes, after, number), after + number];
  if (word <= 0xdb) return [READ_TEXT.decode(slice(bytes, after, number)), after + number];
  return readMany(bytes, after, number, depth, readMessage);
}

// --- addresses: bech32m (BIP-350) over a version byte and 32 bytes ------------------------------------------------------

const LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
const CHECKSUM = 0x2bc830a3;

function polymod(values) {
  let state = 1;
  for (const value of values) {
    const top = state >>> 25;
    state = ((state & 0x1ffffff) << 5) ^ value;
    GENERATOR.forEach((word, bit) => {
      if ((top >>> bit) & 1) state ^= word;
    });
  }
  return state >>> 0;
}

const expand = (prefix) => [...text(prefix)].map((code) => code >> 5).concat(0, [...text(prefix)].map((code) => code & 31));

// Returns the 32 bytes of an account's address, `svm1...` or `tsvm1...`.
export function accountOf(address) {
  const lower = address.trim().toLowerCase();
  const mark = lower.lastIndexOf("1");
  const prefix = lower.slice(0, mark);
  const values = [...lower.slice(mark + 1)].map((letter) => LETTERS.indexOf(letter));
  if (mark < 1 || lower.length > 90 || values.length < 7 || values.includes(-1)) throw new Malformed("that is no address: svm1... or tsvm1... is wanted");
  if (polymod([...expand(prefix), ...values]) !== CHECKSUM) throw new Malformed("the address has a wrong, missing or added character");
  if (prefix !== "svm" && prefix !== "tsvm") throw new Malformed(`the address begins with ${prefix}1; an account's begins with svm1 or tsvm1`);
  let bits = 0n;
  for (const value of values.slice(0, -6)) bits = (bits << 5n) | BigInt(value);
  const padding = BigInt(((values.length - 6) * 5) % 8);
  if (values.length - 6 !== 53 || bits & ((1n << padding) - 1n)) throw new Malformed("the address does not hold 33 bytes");
  const bytes = uint(bits >> padding, 33);
  if (bytes[0] !== 0) throw new Malformed("the address is of no account that anybody holds");
  return bytes.slice(1);
}
