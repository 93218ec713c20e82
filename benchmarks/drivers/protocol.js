// What protocol.py is for Python drivers, for those in JavaScript: the same commands, the same variables, the same lines.
//
// A driver calls `serve({setup, reset, producer, worker})`. `producer()` gives {one(number), bulk(numbers), close()} on a
// connection of its own; `worker(configuration)` works until SIGTERM.

"use strict";

const fs = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");

const DATABASE_URL = process.env.BENCH_DATABASE_URL || "";
const FIRST = Number(process.env.BENCH_FIRST || 0);
const PAYLOAD = Number(process.env.BENCH_PAYLOAD || 0);
const JOB_MS = Number(process.env.BENCH_JOB_MS || 0);

let correction = 0;

/** The system's clock in ns. Node tells it in whole ms only: finer is its monotonic clock, kept within that ms. */
function now() {
  let time = performance.timeOrigin + performance.now() + correction;
  const whole = Date.now();
  const drift = time < whole ? whole - time : time >= whole + 1 ? whole + 0.999 - time : 0;
  correction += drift;
  time += drift;
  return BigInt(Math.round(time * 1000)) * 1000n;
}

let ranFile = -1;
const ranRecord = Buffer.alloc(16);

/** The body of every job: say that it ran, and when. */
function ran(number) {
  if (ranFile < 0) ranFile = fs.openSync(process.env.BENCH_RAN, "a");
  ranRecord.writeBigInt64LE(BigInt(number), 0);
  ranRecord.writeBigInt64LE(now(), 8);
  fs.writeSync(ranFile, ranRecord, 0, 16);
}

/** Additional payload, as text: of random letters, so that nothing compresses it away. */
function padding() {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  return Array.from({ length: PAYLOAD }, () => letters[Math.floor(Math.random() * letters.length)]).join("");
}

function line() {
  return new Promise((resolve) => {
    process.stdin.once("data", resolve);
    process.stdin.once("end", resolve);
  });
}

function range(first, end, step = 1) {
  const numbers = [];
  for (let number = first; number < end; number += step) numbers.push(number);
  return numbers;
}

async function enqueue(driver, jobs, clients) {
  const shares = range(0, clients).map((client) => range(FIRST + client, FIRST + jobs, clients));
  await measured(driver, shares, jobs, async (producer, numbers) => {
    for (const number of numbers) await producer.one(number);
  });
}

async function bulk(driver, jobs, batch) {
  await measured(driver, [range(FIRST, FIRST + jobs)], jobs, async (producer, numbers) => {
    for (let first = 0; first < numbers.length; first += batch) await producer.bulk(numbers.slice(first, first + batch));
  });
}

async function paced(driver, rate, seconds, batch, clients) {
  const each = Math.floor(Math.max(batch * clients, Math.floor(rate * seconds)) / clients);
  const pause = (1000 * batch * clients) / rate;
  const sent = fs.openSync(process.env.BENCH_SENT, "a");
  const shares = range(0, clients).map((client) => range(FIRST + client * each, FIRST + (client + 1) * each));
  await measured(driver, shares, each * clients, async (producer, numbers) => {
    const begin = performance.now() + Math.random() * pause; // at random around an even beat
    for (let turn = 0; turn * batch < numbers.length; turn++) {
      const part = numbers.slice(turn * batch, (turn + 1) * batch);
      const wait = begin + (turn + Math.random() * 0.6 - 0.3) * pause - performance.now();
      if (wait > 0) await sleep(wait);
      const before = now();
      await (batch === 1 ? producer.one(part[0]) : producer.bulk(part));
      const after = now();
      const record = Buffer.alloc(24 * part.length);
      part.forEach((number, i) => {
        record.writeBigInt64LE(BigInt(number), 24 * i);
        record.writeBigInt64LE(before, 24 * i + 8);
        record.writeBigInt64LE(after, 24 * i + 16);
      });
      fs.writeSync(sent, record);
    }
  });
}

/** Connect once for each share, wait for the word, send all shares at once, and say how long it took. */
async function measured(driver, shares, jobs, send) {
  const producers = [];
  for (const _ of shares) producers.push(await driver.producer());
  for (const producer of producers) await producer.one(-1);
  const word = line();
  console.log("ready");
  await word;
  const started = now();
  await Promise.all(producers.map((producer, i) => send(producer, shares[i])));
  const ended = now();
  for (const producer of producers) await producer.close();
  console.log(`{"started": ${started}, "ended": ${ended}, "jobs": ${jobs}}`);
}

/** Do what the command line says. */
async function serve(driver) {
  const [command, ...words] = process.argv.slice(2);
  const numbers = words.map(Number);
  if (command === "worker") return driver.worker(words[0]);
  if (command === "setup" || command === "reset") await driver[command]();
  else if (command === "enqueue") await enqueue(driver, ...numbers);
  else if (command === "bulk") await bulk(driver, ...numbers);
  else if (command === "paced") await paced(driver, ...numbers);
  else throw new Error(`${command}: no such command`);
  process.exit(0);
}

module.exports = { DATABASE_URL, JOB_MS, padding, ran, serve, sleep };
