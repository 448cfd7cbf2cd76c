// The page: asks for an address and an anchor, connects to the node that it came from, and shows what is proved.

import { connect } from "./channel.js";
import { accountOf, equal, fromHex, join, toHex } from "./encoding.js";
import { LightClient, proveAccount, UnknownValidators } from "./light.js";
import { Link } from "./link.js";

const SUBSCRIBE = 12;
const LEAF_PROOFS = 15;
const GET_VALIDATOR_CHANGES = 19;
const VALIDATOR_CHANGES = 20;
const CURRENT_MS = 30_000;

const at = (id) => document.getElementById(id);
let link = null;

function say(state, words) {
  document.body.dataset.state = state;
  at("state").textContent = words;
}

function show(client, account) {
  at("balance").textContent = account.balance.toLocaleString("en");
  at("balance").dataset.grain = String(account.balance);
  at("exists").textContent = account.exists ? `${account.nextSeq} payments sent` : "the network has never seen this account";
  at("height").textContent = String(client.header.height);
  at("signers").textContent = `${client.signers} of ${client.validators.members.length} validators`;
  at("proved").hidden = false;
  age(client);
}

function age(client) {
  const ageMs = Math.max(0, Date.now() - client.header.tsMs);
  at("age").textContent = ageMs <= CURRENT_MS ? `${Math.round(ageMs / 1000)} s ago: current` : `${Math.round(ageMs / 1000)} s ago: not current`;
}

async function ask(address, anchor) {
  const account = accountOf(address);
  const client = new LightClient(fromHex(anchor));
  const leafId = join(Uint8Array.of(1), account);
  let held = null; // proofs of validators whose change is still to come
  let subscribed = false;

  const askChanges = () => link.send([GET_VALIDATOR_CHANGES, client.changedHeight]);

  async function takeProofs([, checkpoint, proofs]) {
    try {
      await client.accept(checkpoint);
    } catch (error) {
      if (!(error instanceof UnknownValidators)) throw error;
      held = [LEAF_PROOFS, checkpoint, proofs];
      askChanges();
      return;
    }
    link.height = client.header.height;
    for (const [name, proof] of proofs) {
      if (!equal(name, leafId)) continue;
      show(client, proveAccount(client.header.stateRoot, account, proof));
      say("proved", "Proved by this page itself, from the anchor on.");
    }
  }

  async function take(message) {
    if (message[0] === LEAF_PROOFS) await takeProofs(message);
    if (message[0] !== VALIDATOR_CHANGES) return;
    for (const change of message[1]) await client.follow(change);
    if (message[1].length) askChanges();
    else if (!subscribed) {
      subscribed = true;
      link.send([SUBSCRIBE, [account]]);
    } else if (held) {
      const proofs = held;
      held = null;
      await takeProofs(proofs);
    }
  }

  say("connecting", "Connecting by WebRTC ...");
  const begin = performance.now();
  const channel = await connect();
  const opened = performance.now();
  link = new Link(channel, client.chainId, take, (reason) => say("ended", `The connection has ended: ${reason}.`));
  const nodeId = await link.up();
  at("node").textContent = toHex(nodeId).slice(0, 16);
  at("times").textContent = `channel in ${Math.round(opened - begin)} ms, proven node in ${Math.round(performance.now() - begin)} ms`;
  say("up", "Connected; asking for the proof ...");
  askChanges();
  setInterval(() => at("proved").hidden || age(client), 1_000);
}

async function start() {
  link?.channel.close();
  at("proved").hidden = true;
  at("ask").disabled = true;
  try {
    await ask(at("address").value, at("anchor").value);
  } catch (error) {
    say("failed", `That did not work: ${error.message}.`);
  } finally {
    at("ask").disabled = false;
  }
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
addEventListener("pagehide", () => link?.channel.close());

// What stands behind the # never leaves the browser, so whoever gave the link gave the anchor, and not the node.
const given = new URLSearchParams(location.hash.slice(1));
at("address").value = given.get("address") ?? "";
at("anchor").value = given.get("anchor") ?? "";
if (given.has("address") && given.has("anchor")) start();
