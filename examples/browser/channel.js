// A WebRTC data channel to a node as a stream of bytes; the other end is supervm.common.driver.transports.webrtc.
//
// Binary messages are the stream; texts are about it: "?" is answered by "!N" (N bytes came), "+N" says that N bytes were
// read, "." ends the stream and is answered by ",". At most WINDOW bytes are sent beyond what the other end has read.

const MESSAGE_BYTES = 16_384;
const WINDOW_BYTES = 512 << 10;
const CREDIT_BYTES = WINDOW_BYTES / 8;
const OPEN_MS = 10_000;

// The 32 bytes of the one SHA-256 fingerprint in a session description: the key that DTLS proves.
export function fingerprintOf(description) {
  const found = new Set([...description.matchAll(/^a=fingerprint:sha-256 ([0-9a-f:]{95})\s*$/gim)].map((match) => match[1].toUpperCase()));
  if (found.size !== 1) throw new Error(`the session description names ${found.size} keys; one is wanted`);
  return Uint8Array.from([...found][0].split(":"), (pair) => parseInt(pair, 16));
}

// Only that one key counts: with others in the description the browser might be content with one of them.
const ofOneKey = (description) =>
  description.split(/\r?\n/).filter((line) => !/^a=fingerprint:(?!sha-256 )/i.test(line)).join("\r\n");

export class Channel {
  // fingerprints: both ends', ours first, because we offered.
  constructor(connection, channel, fingerprints) {
    this.fingerprints = fingerprints;
    this.onData = () => {};
    this.onEnd = () => {};
    this.connection = connection;
    this.channel = channel;
    this.arrived = this.told = this.sent = this.taken = 0;
    this.waiting = [];
    this.ended = false;
    channel.onmessage = (event) => this.receive(event.data);
    channel.onclose = () => this.end("the connection is gone");
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "failed") this.end("the way to the node is lost");
    };
  }

  receive(data) {
    if (typeof data === "string") {
      if (data === "?") this.channel.send(`!${this.arrived}`);
      else if (data === ".") {
        this.channel.send(",");
        this.end("the node closed the connection");
      } else if (data[0] === "+") {
        this.taken = Math.max(this.taken, Math.min(Number(data.slice(1)), this.sent));
        this.pump();
      }
      return;
    }
    this.arrived += data.byteLength;
    this.onData(new Uint8Array(data));
    if (this.arrived - this.told >= CREDIT_BYTES && !this.ended) {
      this.told = this.arrived;
      this.channel.send(`+${this.told}`);
    }
  }

  send(bytes) {
    for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) this.waiting.push(bytes.slice(at, at + MESSAGE_BYTES));
    this.pump();
  }

  pump() {
    while (this.waiting.length && !this.ended && this.sent - this.taken + this.waiting[0].length <= WINDOW_BYTES) {
      const message = this.waiting.shift();
      this.sent += message.length;
      this.channel.send(message);
    }
  }

  end(reason) {
    if (this.ended) return;
    this.ended = true;
    this.onEnd(reason);
    setTimeout(() => this.connection.close(), 200); // what was just said still goes out
  }

  close() {
    if (!this.ended && this.channel.readyState === "open") this.channel.send(".");
    this.end("closed here");
  }
}

// Offers a channel to the server that this page came from, and returns it when it is open.
export async function connect(path = "webrtc") {
  const connection = new RTCPeerConnection({ iceServers: [] });
  const channel = connection.createDataChannel("supervm", { negotiated: true, id: 0 });
  channel.binaryType = "arraybuffer";
  const opened = new Promise((resolve, reject) => {
    channel.onopen = resolve;
    setTimeout(() => reject(new Error(`no data channel within ${OPEN_MS / 1000} s: is UDP let through?`)), OPEN_MS);
  });
  opened.catch(() => {}); // it is awaited below, if that is reached
  try {
    await connection.setLocalDescription();
    const offer = connection.localDescription.sdp;
    const response = await fetch(path, { method: "POST", headers: { "content-type": "application/sdp" }, body: offer });
    const answer = await response.text();
    if (!response.ok) throw new Error(`the node takes no offer: ${answer.trim()}`);
    await connection.setRemoteDescription({ type: "answer", sdp: ofOneKey(answer) });
    const fingerprints = [fingerprintOf(offer), fingerprintOf(answer)];
    await opened;
    return new Channel(connection, channel, fingerprints);
  } catch (error) {
    connection.close();
    throw error;
  }
}
