// graphile-worker through its public API: `run` for the worker, `makeWorkerUtils` for the producers. Its log, a line for
// each job, is switched off.

"use strict";

process.env.NO_LOG_SUCCESS = "1"; // before it is loaded: it looks only then

const { Client } = require("pg");
const { Logger, makeWorkerUtils, run, runMigrations } = require("graphile-worker");
const { DATABASE_URL, JOB_MS, padding, ran, serve, sleep } = require("./protocol.js");

const PADDING = padding();
const logger = new Logger(() => () => {});

const CONFIGURATIONS = {
  default: {},
  batches: {
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

async function withClient(url, statements) {
  const client = new Client({ connectionString: url });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

async function setup() {
  const server = new URL(DATABASE_URL);
  const name = Client.prototype.escapeIdentifier(decodeURIComponent(server.pathname.slice(1)));
  server.pathname = "/postgres";
  await withClient(server.href, [`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, `CREATE DATABASE ${name}`]);
  await runMigrations({ connectionString: DATABASE_URL, logger });
}

async function reset() {
  await withClient(DATABASE_URL, ["TRUNCATE graphile_worker._private_jobs RESTART IDENTITY CASCADE"]);
}

function payload(number) {
  return PADDING ? { number, padding: PADDING } : { number };
}

async function producer() {
  const utils = await makeWorkerUtils({ connectionString: DATABASE_URL, maxPoolSize: 1, logger });
  return {
    one: (number) => utils.addJob("noop", payload(number)),
    bulk: (numbers) => utils.addJobs(numbers.map((number) => ({ identifier: "noop", payload: payload(number) }))),
    close: () => utils.release(),
  };
}

async function noop({ number }) {
  ran(number);
  if (JOB_MS) await sleep(JOB_MS);
}

async function worker(configuration) {
  const preset = { worker: { connectionString: DATABASE_URL, ...CONFIGURATIONS[configuration] } };
  const runner = await run({ preset, logger, taskList: { noop } });
  await runner.promise;
}

serve({ setup, reset, producer, worker });
