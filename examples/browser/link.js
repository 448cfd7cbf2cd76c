// The link of two nodes (docs/spec/network.md 3): Noise_XX_25519_ChaChaPoly_BLAKE2b, records, frames, Hello. This end
// always begins, with keys that it makes for this one connection: it is nobody's node (tier 0).

import { chacha20poly1305 } from "./vendor/noble-ciphers/chacha.js";
import { blake2b } from "./vendor/noble-hashes/blake2.js";
import { hmac } from "./vendor/noble-hashes/hmac.js";
import { decodeCbor, decodeMessage, encodeCbor, encodeMessage, join, text, uint } from "./encoding.js";

const PROTOCOL = text("Noise_XX_25519_ChaChaPoly_BLAKE2b");
const VERSION = 2;
const TAG_BYTES = 16;
const RECORD_BYTES = 16_366; // one record with its length and tag fills one message of the channel
const FRAME_BYTES_MAX = 1 << 20;
const REKEY_RECORDS = 1 << 20;
const HANDSHAKE_BYTES_MAX = 1_024;
const HEARTBEAT_MS = 10_000;
const CLOCK_OFFSET_MS_MAX = 30_000;
const NO_BYTES = new Uint8Array(0);

export const HELLO = 1;
export const HEARTBEAT = 2;
export const GOODBYE = 3;

const subtle = () => {
  if (!globalThis.crypto?.subtle) throw new Error("the browser gives keys only to pages of this machine or by HTTPS");
  return crypto.subtle;
};
const raw = async (key) => new Uint8Array(await subtle().exportKey("raw", key));

// Whether an Ed25519 signature of 64 bytes is right.
export async function verify(key, message, signature) {
  try {
    const known = await subtle().importKey("raw", key, "Ed25519", false, ["verify"]);
    return await subtle().verify("Ed25519", known, signature, message);
  } catch {
    return false; // no such key
  }
}

class Cipher {
  constructor(key) {
    this.key = key;
    this.count = 0n;
  }
  nonce() {
    const bytes = new Uint8Array(12);
    new DataView(bytes.buffer).setBigUint64(4, this.count, true);
    this.count += 1n;
    return bytes;
  }
  seal(plain, associated = NO_BYTES) {
    return chacha20poly1305(this.key, this.nonce(), associated).encrypt(plain);
  }
  open(sealed, associated = NO_BYTES) {
    return chacha20poly1305(this.key, this.nonce(), associated).decrypt(sealed);
  }
  rekey() {
    const nonce = new Uint8Array(12).fill(255, 4);
    this.key = chacha20poly1305(this.key, nonce, NO_BYTES).encrypt(new Uint8Array(32)).slice(0, 32);
  }
}

// One handshake of the pattern XX, as the side that begins; names as in section 5 of the Noise specification.
class Handshake {
  constructor(prologue) {
    this.hash = join(PROTOCOL, new Uint8Array(64 - PROTOCOL.length));
    this.chaining = this.hash;
    this.cipher = null;
    this.mixHash(prologue);
  }
  async begin() {
    const make = () => subtle().generateKey("X25519", false, ["deriveBits"]);
    [this.ephemeral, this.fixed] = [await make(), await make()];
    this.ephemeralPublic = await raw(this.ephemeral.publicKey);
    this.fixedPublic = await raw(this.fixed.publicKey);
    this.mixHash(this.ephemeralPublic);
    this.mixHash(NO_BYTES); // the empty payload, in clear
    return this.ephemeralPublic;
  }
  // Takes message 2; returns the responder's payload and keeps its key.
  async read(message) {
    const theirs = message.slice(0, 32);
    this.mixHash(theirs);
    await this.mixShared(this.ephemeral, theirs);
    const fixed = this.decrypt(message.slice(32, 80));
    await this.mixShared(this.ephemeral, fixed);
    this.theirEphemeral = theirs;
    this.theirFixed = fixed;
    return this.decrypt(message.slice(80));
  }
  // Returns message 3 with our payload, and our sending and our receiving cipher.
  async finish(payload) {
    const fixed = this.encrypt(this.fixedPublic);
    await this.mixShared(this.fixed, this.theirEphemeral);
    const message = join(fixed, this.encrypt(payload));
    const [first, second] = this.derive(NO_BYTES);
    return [message, new Cipher(first.slice(0, 32)), new Cipher(second.slice(0, 32))];
  }
  mixHash(data) {
    this.hash = blake2b(join(this.hash, data));
  }
  async mixShared(pair, key) {
    const known = await subtle().importKey("raw", key, "X25519", false, []);
    const shared = new Uint8Array(await subtle().deriveBits({ name: "X25519", public: known }, pair.privateKey, 256));
    const [chaining, secret] = this.derive(shared);
    this.chaining = chaining;
    this.cipher = new Cipher(secret.slice(0, 32));
  }
  derive(material) {
    const temporary = hmac(blake2b, this.chaining, material);
    const first = hmac(blake2b, temporary, Uint8Array.of(1));
    return [first, hmac(blake2b, temporary, join(first, Uint8Array.of(2)))];
  }
  encrypt(plain) {
    const sealed = this.cipher.seal(plain, this.hash);
    this.mixHash(sealed);
    return sealed;
  }
  decrypt(sealed) {
    const plain = this.cipher.open(sealed, this.hash);
    this.mixHash(sealed);
    return plain;
  }
}

const statement = (chainId, key, notAfterMs) => join(text("supervm-noise-static"), chainId, key, uint(notAfterMs, 8));

async function ownProof(chainId, key) {
  const pair = await subtle().generateKey("Ed25519", false, ["sign", "verify"]);
  const notAfterMs = Date.now() + 366 * 86_400_000;
  const signature = await subtle().sign("Ed25519", pair.privateKey, statement(chainId, key, notAfterMs));
  return encodeCbor(["linkkey", 1, await raw(pair.publicKey), notAfterMs, new Uint8Array(signature)]);
}

// Returns the proven node id.
async function checkProof(payload, chainId, key) {
  const [kind, version, nodeId, notAfterMs, signature] = decodeCbor(payload);
  if (kind !== "linkkey" || version !== 1 || nodeId.length !== 32) throw new Error("the node proves nothing that is known here");
  if (notAfterMs <= Date.now()) throw new Error("the node's proof has ended, or a clock is wrong");
  if (!(await verify(nodeId, statement(chainId, key, notAfterMs), signature))) throw new Error("the node does not prove who it is");
  return nodeId;
}

export class Link {
  // onMessage takes each message of the node as an array, its number first; onEnd takes the reason.
  constructor(channel, chainId, onMessage, onEnd) {
    this.channel = channel;
    this.chainId = chainId;
    this.onMessage = onMessage;
    this.onEnd = onEnd;
    this.stream = NO_BYTES; // what came and is not opened yet
    this.frames = NO_BYTES; // what was opened and is no whole frame yet
    this.opened = this.sealed = 0; // records under the present keys
    this.work = Promise.resolve(); // what comes is worked off in order
  }

  // Shakes hands and says Hello; returns the proven node id once the node has said Hello, too.
  async up() {
    const up = new Promise((resolve, reject) => {
      this.hello = resolve;
      this.refused = reject;
    });
    up.catch(() => {});
    this.channel.onEnd = (reason) => {
      clearInterval(this.beating);
      this.refused(new Error(reason));
      this.onEnd(reason);
    };
    this.handshake = new Handshake(join(text("supervm/1"), this.chainId, ...this.channel.fingerprints));
    const first = await this.handshake.begin();
    this.channel.onData = (data) => {
      this.work = this.work.then(() => this.receive(data)).catch((error) => {
        this.channel.end(error.message || String(error));
      });
    };
    this.channel.send(join(uint(first.length, 2), first));
    await up;
    let round = 0;
    this.beating = setInterval(() => this.send([HEARTBEAT, ++round, 0, Date.now(), this.height ?? 0]), HEARTBEAT_MS);
    return this.nodeId;
  }

  send(message) {
    const frame = encodeMessage(message);
    const stream = join(uint(frame.length, 4), frame);
    for (let at = 0; at < stream.length; at += RECORD_BYTES) {
      const record = this.sending.seal(stream.slice(at, at + RECORD_BYTES));
      this.channel.send(join(uint(record.length, 2), record));
      if (++this.sealed === REKEY_RECORDS) {
        this.sending.rekey();
        this.sealed = 0;
      }
    }
  }

  async receive(data) {
    this.stream = join(this.stream, data);
    while (this.stream.length >= 2) {
      const size = (this.stream[0] << 8) | this.stream[1];
      if (this.handshake && size > HANDSHAKE_BYTES_MAX) throw new Error("the node's handshake is too long");
      if (this.stream.length < 2 + size) return;
      const piece = this.stream.slice(2, 2 + size);
      this.stream = this.stream.slice(2 + size);
      if (this.handshake) await this.shake(piece);
      else await this.open(piece);
    }
  }

  async shake(piece) {
    const handshake = this.handshake;
    let payload;
    try {
      payload = await handshake.read(piece);
    } catch {
      throw new Error("the handshake does not authenticate: another network, or somebody is in between");
    }
    this.nodeId = await checkProof(payload, this.chainId, handshake.theirFixed);
    const [message, sending, receiving] = await handshake.finish(await ownProof(this.chainId, handshake.fixedPublic));
    this.sending = sending;
    this.receiving = receiving;
    this.handshake = null;
    this.channel.send(join(uint(message.length, 2), message));
    this.send([HELLO, VERSION, VERSION, 0, [], Date.now(), "supervm-browser/1"]);
  }

  async open(record) {
    if (record.length < TAG_BYTES) throw new Error("a record is shorter than its tag");
    const plain = this.receiving.open(record);
    if (!plain.length || ++this.opened === REKEY_RECORDS) {
      this.receiving.rekey();
      this.opened = 0;
    }
    this.frames = join(this.frames, plain);
    while (this.frames.length >= 4) {
      const size = new DataView(this.frames.buffer, this.frames.byteOffset).getUint32(0);
      if (!size || size > FRAME_BYTES_MAX) throw new Error(`a frame of ${size} bytes; at most ${FRAME_BYTES_MAX} are taken`);
      if (this.frames.length < 4 + size) return;
      const frame = this.frames.slice(4, 4 + size);
      this.frames = this.frames.slice(4 + size);
      await this.take(decodeMessage(frame));
    }
  }

  async take(message) {
    if (message[0] === GOODBYE) throw new Error(`the node said ${message[1]}: ${message[2]}`);
    if (this.hello && message[0] === HELLO) {
      const [, lowest, highest, tier, , clockMs] = message;
      if (lowest > VERSION || highest < VERSION) throw new Error(`the node speaks versions ${lowest} to ${highest}; this page speaks ${VERSION}`);
      if (tier !== 3) throw new Error(`the node is an L${tier}; a page asks an L3`);
      if (Math.abs(clockMs - Date.now()) > CLOCK_OFFSET_MS_MAX) throw new Error("the node's clock and this machine's are too far apart");
      this.hello();
      this.hello = null;
    } else if (this.hello) throw new Error("the node does not begin with Hello");
    else if (message[0] !== HEARTBEAT) await this.onMessage(message);
  }
}


