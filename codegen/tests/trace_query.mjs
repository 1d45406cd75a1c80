// Asks Perfetto's own trace processor about traces: trace_query.mjs DIST, with a JSON list of { trace, queries } on the standard
// input; prints a JSON list that has for each trace a list with the rows of each query. DIST is the folder with engine_bundle.js
// and trace_processor.wasm. Status 2: a trace does not load; 3: a query is wrong.
//
// The engine is built for a browser's worker: each trace gets an engine in a context that looks like one, and it is spoken to by
// its protocol (TraceProcessorRpc of trace_processor.proto), of which a few fields are written and read here.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";

const [, , dist] = process.argv;

function fail(status, words) {
  process.stderr.write(`${words}\n`);
  process.exit(status);
}
process.on("uncaughtException", (error) => fail(1, String(error?.stack ?? error).slice(0, 2000)));
process.on("unhandledRejection", (error) => fail(1, String(error?.stack ?? error).slice(0, 2000)));

// Protobuf: writing.
function varint(number) {
  const bytes = [];
  for (let left = BigInt(number); ; ) {
    const low = Number(left & 127n);
    left >>= 7n;
    if (left === 0n) return Buffer.from([...bytes, low]);
    bytes.push(low | 128);
  }
}
const numeric = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const sized = (field, bytes) => Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);

// Protobuf: reading. Yields [field, value] with a BigInt, or bytes.
function* fields(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const number = () => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = bytes[at++];
        value |= BigInt(byte & 127) << shift;
        if (byte < 128) return value;
      }
    };
    const key = Number(number());
    const take = (count) => bytes.subarray(at, (at += count));
    switch (key & 7) {
      case 0: yield [key >> 3, number()]; break;
      case 1: yield [key >> 3, take(8)]; break;
      case 2: yield [key >> 3, take(Number(number()))]; break;
      case 5: yield [key >> 3, take(4)]; break;
      default: throw new Error(`wire type ${key & 7}`);
    }
  }
}
const all = (bytes, field) => [...fields(bytes)].filter(([found]) => found === field).map(([, value]) => value);
function* varints(bytes) {
  for (let at = 0; at < bytes.length; ) {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    yield BigInt.asIntN(64, value);
  }
}

const cached = new Map();
function file(name) {
  const base = path.basename(String(name));
  if (!cached.has(base)) cached.set(base, fs.readFileSync(path.join(dist, base)));
  return cached.get(base);
}
const bundle = new vm.Script(file("engine_bundle.js").toString());
// Compiled once: a module is no part of a context.
let compiled;
function compile(Module, bytes) {
  if (bytes.byteLength < 1 << 20) return new Module(bytes);
  return (compiled ??= new Module(bytes));
}

// An engine in what it takes for a worker; a function that sends a request and returns the replies.
async function engine() {
  const replies = [];
  const port = { onmessage: null, postMessage: (bytes) => replies.push(Buffer.from(bytes)) };
  const worker = {
    location: { href: "file:///engine_bundle.js" },
    console: { log() {}, warn() {}, error() {} },
    setTimeout, clearTimeout, TextDecoder, TextEncoder, URL, performance, compile,
    crypto: globalThis.crypto,
    importScripts() {},
    WorkerGlobalScope: function () {},
    XMLHttpRequest: class {
      status = 200;
      open(_, name) { this.name = name; }
      send() {
        const bytes = file(this.name);
        this.response = vm.runInContext("(length) => new ArrayBuffer(length)", worker)(bytes.length);
        Buffer.from(this.response).set(bytes);
      }
    },
  };
  worker.self = worker;
  vm.createContext(worker);
  vm.runInContext(
    "{ const Module = WebAssembly.Module; WebAssembly.Module = function (bytes) { return compile(Module, bytes); }; }",
    worker,
  );
  bundle.runInContext(worker);
  worker.onmessage({ data: port });
  // The module is loaded at once; what waits for it has run by the next turn.
  await new Promise((resolve) => setTimeout(resolve, 0));
  const Uint8 = vm.runInContext("Uint8Array", worker);
  let sequence = 0;
  return (method, argument = Buffer.alloc(0)) => {
    replies.length = 0;
    const message = sized(1, Buffer.concat([numeric(1, ++sequence), numeric(2, method), argument]));
    const bytes = new Uint8(message.length);
    bytes.set(message);
    port.onmessage({ data: bytes });
    return replies.flatMap((reply) => all(reply, 1));
  };
}

// Methods of TraceProcessorRpc: 1 appends, 2 ends the trace, 3 queries.
function load(call, trace) {
  const text = fs.readFileSync(trace);
  const piece = 16 << 20;
  for (let at = 0; at < text.length; at += piece) {
    for (const reply of call(1, sized(101, text.subarray(at, at + piece)))) {
      for (const result of all(reply, 201)) for (const error of all(result, 2)) fail(2, `${trace} does not load: ${error}`);
    }
  }
  for (const reply of call(2)) for (const error of all(reply, 5)) fail(2, `${trace} does not load: ${error}`);
}

// Cells come as a list of types and a list of values for each type.
function query(call, sql) {
  const [columns, cells] = [[], []];
  for (const reply of call(3, sized(103, sized(1, Buffer.from(sql))))) {
    for (const result of all(reply, 203)) {
      for (const [field, value] of fields(result)) {
        if (field === 1) columns.push(value.toString());
        if (field === 2) fail(3, `${sql}\n${value}`);
        if (field !== 3) continue;
        const types = all(value, 1).flatMap((bytes) => [...varints(bytes)]);
        const numbers = all(value, 2).flatMap((bytes) => [...varints(bytes)]);
        const doubles = Buffer.concat(all(value, 3));
        const texts = all(value, 5).flatMap((bytes) => bytes.toString().split("\0"));
        let [number, double, word] = [0, 0, 0];
        for (const type of types) {
          if (type === 2n) cells.push(Number(numbers[number++]));
          else if (type === 3n) cells.push(doubles.readDoubleLE(8 * double++));
          else if (type === 4n) cells.push(texts[word++]);
          else cells.push(null);
        }
      }
    }
  }
  const rows = [];
  for (let at = 0; at < cells.length; at += columns.length) {
    rows.push(Object.fromEntries(columns.map((name, place) => [name, cells[at + place]])));
  }
  return rows;
}

const answers = [];
for (const { trace, queries } of JSON.parse(fs.readFileSync(0, "utf8"))) {
  const call = await engine();
  load(call, trace);
  answers.push(queries.map((sql) => query(call, sql)));
}
process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0));
