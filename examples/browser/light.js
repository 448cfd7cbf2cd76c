// The light client: what is checked before a balance is shown (docs/spec/consensus.md 4 and 5). It trusts an anchor, and
// after that only headers that a quorum of the trusted validators signed, and only leaves that hash up to such a header.

import { blake2b } from "./vendor/noble-hashes/blake2.js";
import { decodeCbor, encodeCbor, equal, join, text } from "./encoding.js";
import { verify } from "./link.js";

const HASH_BYTES = 32;
const ZERO = new Uint8Array(HASH_BYTES);
const CHECKPOINT_VOTE = 4;
const CLOCK_DRIFT_MS_MAX = 2_000;
const TRUSTING_PERIOD_MS = 21 * 86_400_000;
const DEPTH_MAX = 128;
const VALIDATORS_MAX = 255;

function hash(domain, data) {
  const personalization = join(text(domain), new Uint8Array(16 - domain.length));
  return blake2b(data, { dkLen: HASH_BYTES, personalization });
}

function need(truth, problem) {
  if (!truth) throw new Error(problem);
}

// Names the fields of an agreed object, whose first two elements are its kind and its version.
function fields(value, kind, names) {
  need(Array.isArray(value) && value[0] === kind && value[1] === 1 && value.length === names.length + 2, `that is no ${kind} of version 1`);
  return Object.fromEntries(names.map((name, at) => [name, value[at + 2]]));
}

const isHash = (value) => value instanceof Uint8Array && value.length === HASH_BYTES;
const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

function readHeader(value) {
  const header = fields(value, "ckpt", [
    "chainId", "epoch", "height", "blockHash", "prevHash", "tsMs", "stateRoot", "receiptsRoot", "historyRoot", "validatorsHash",
    "nextValidatorsHash", "supply",
  ]);
  const numbers = ["epoch", "height", "tsMs", "supply"];
  need(Object.entries(header).every(([name, field]) => (numbers.includes(name) ? isNumber(field) : isHash(field))), "a field of the header is of a wrong kind");
  header.hash = hash("svm.ckpt", encodeCbor(value));
  return header;
}

function readValidators(value) {
  const { members } = fields(value, "valset", ["members"]);
  need(Array.isArray(members) && members.length > 0 && members.length <= VALIDATORS_MAX, "the list of validators is empty or too long");
  const read = members.map((member) => fields(member, "validator", ["key", "nodeId", "weight", "payout"]));
  need(read.every((member) => isHash(member.key) && isNumber(member.weight) && member.weight >= 1), "a validator has no key or no weight");
  need(new Set(read.map((member) => member.key.join())).size === read.length, "two validators share one key");
  const total = read.reduce((sum, member) => sum + BigInt(member.weight), 0n);
  return { members: read, quorum: (2n * total) / 3n + 1n, hash: hash("svm.valset", encodeCbor(value)) };
}

export class UnknownValidators extends Error {}

export class LightClient {
  // anchor: bytes; now: gives Unix time in milliseconds.
  constructor(anchor, now = Date.now) {
    this.now = now;
    const { header, validators } = fields(decodeCbor(anchor), "anchor", ["header", "validators"]);
    this.header = readHeader(header);
    this.validators = readValidators(validators);
    this.signers = 0;
    this.changedHeight = Math.max(0, this.header.height - 1);
    this.chainId = this.header.chainId;
    need(equal(this.validators.hash, this.header.validatorsHash), "the anchor's validators are not the ones its header names");
  }

  checkTrust() {
    need(this.header.tsMs + TRUSTING_PERIOD_MS > this.now(), "the newest trusted header is older than validators answer for: a newer anchor is needed");
  }

  // Checks that a quorum of the trusted validators signed a checkpoint; returns its header and how many signed.
  async check(value) {
    const { header: inner, signatures } = fields(value, "cckpt", ["header", "signatures"]);
    const header = readHeader(inner);
    need(equal(header.chainId, this.chainId), "the checkpoint belongs to another network");
    need(header.tsMs <= this.now() + CLOCK_DRIFT_MS_MAX, "the checkpoint is dated ahead of this machine's clock");
    if (!equal(header.validatorsHash, this.validators.hash)) throw new UnknownValidators("the checkpoint is of validators that are not known yet");
    need(Array.isArray(signatures) && signatures.length <= VALIDATORS_MAX, "the checkpoint has no list of signatures");
    const signed = hash("svm.vote", encodeCbor([1, this.chainId, CHECKPOINT_VOTE, header.epoch, header.height, header.hash]));
    let weight = 0n;
    let previous = -1;
    for (const [index, signature] of signatures) {
      need(index > previous && index < this.validators.members.length, "the signers are not in order, or not validators");
      previous = index;
      const member = this.validators.members[index];
      need(signature instanceof Uint8Array && (await verify(member.key, signed, signature)), `the signature of validator ${index} is wrong`);
      weight += BigInt(member.weight);
    }
    need(weight >= this.validators.quorum, `weight ${weight} signed; a quorum is ${this.validators.quorum}`);
    return [header, signatures.length];
  }

  // Takes the next change of validators; one that was followed already changes nothing.
  async follow(bytes) {
    this.checkTrust();
    const { checkpoint, validators } = fields(decodeCbor(bytes), "valchange", ["checkpoint", "validators"]);
    const height = readHeader(checkpoint[2]).height;
    if (height <= this.changedHeight) return;
    const [header, signers] = await this.check(checkpoint);
    const following = readValidators(validators);
    need(!equal(header.nextValidatorsHash, ZERO) && !equal(header.nextValidatorsHash, header.validatorsHash), "the checkpoint hands over to nobody else");
    need(equal(following.hash, header.nextValidatorsHash), "the checkpoint does not hand over to these validators");
    this.validators = following;
    this.changedHeight = header.height;
    this.raise(header, signers);
  }

  // Checks a certified checkpoint; it becomes the newest, and must not be below one that was seen.
  async accept(bytes) {
    this.checkTrust();
    const [header, signers] = await this.check(decodeCbor(bytes));
    need(header.height >= this.header.height, `checkpoint ${header.height} is below ${this.header.height}, the highest seen`);
    need(header.height > this.header.height || equal(header.hash, this.header.hash), "two different checkpoints of one height are signed: believe nothing");
    this.raise(header, signers);
    return header;
  }

  raise(header, signers) {
    if (header.height >= this.header.height) [this.header, this.signers] = [header, signers];
  }
}

// Returns what an account has under a state root, from the proof of its leaf or of its absence.
export function proveAccount(stateRoot, account, proof) {
  const value = proveLeaf(stateRoot, join(Uint8Array.of(1), account), proof);
  if (!value) return { exists: false, balance: 0, nextSeq: 0 };
  const { balance, nextSeq } = fields(decodeCbor(value), "account", ["balance", "nextSeq", "head", "flags"]);
  need(isNumber(balance) && isNumber(nextSeq), "the account's leaf cannot be read");
  return { exists: true, balance, nextSeq };
}

const digitAt = (key, depth) => (key[depth >> 2] >> (6 - 2 * (depth & 3))) & 3;

// Returns the value of a leaf under a root, null where the proof shows that it has none.
export function proveLeaf(root, leafId, bytes) {
  const proof = fields(decodeCbor(bytes), "proof", ["value", "otherKey", "otherValueHash", "masks", "siblings"]);
  need(Object.values(proof).every((field) => field instanceof Uint8Array), "a field of the proof is of a wrong kind");
  const key = hash("svm.leafkey", leafId);
  const { masks, siblings } = proof;
  const depth = masks.length;
  need(depth <= DEPTH_MAX && (!depth || masks[depth - 1]), "the proof is too deep, or its deepest node has no other child");
  let current = endOfPath(key, proof);
  let end = siblings.length;
  for (let level = depth - 1; level >= 0; level--) {
    const own = digitAt(key, level);
    const mask = masks[level];
    need(mask < 16 && !((mask >> own) & 1), "a mask of the proof names the path itself");
    const children = [ZERO, ZERO, ZERO, ZERO];
    children[own] = current;
    for (let digit = 3; digit >= 0; digit--) {
      if (!((mask >> digit) & 1)) continue;
      need(end >= HASH_BYTES, "a hash of the proof is missing");
      children[digit] = siblings.slice(end - HASH_BYTES, end);
      need(!equal(children[digit], ZERO), "a hash of the proof is zero");
      end -= HASH_BYTES;
    }
    current = hash("q4node", join(...children));
  }
  need(!end, "hashes of the proof are left over");
  need(equal(current, root), "the proof does not lead to the state root that the validators signed");
  return proof.value.length ? proof.value : null;
}

function endOfPath(key, { value, otherKey, otherValueHash, masks }) {
  if (value.length) {
    need(!otherKey.length && !otherValueHash.length, "the proof has two ends");
    return hash("q4leaf", join(key, hash("q4value", value)));
  }
  if (!otherKey.length && !otherValueHash.length) return ZERO;
  need(isHash(otherKey) && isHash(otherValueHash) && !equal(otherKey, key), "the proof's other leaf is none");
  for (let depth = 0; depth < masks.length; depth++) need(digitAt(otherKey, depth) === digitAt(key, depth), "the proof's other leaf is not on the path");
  return hash("q4leaf", join(otherKey, otherValueHash));
}
