// A client of the interface that knows nothing of dsync: it loads proto/ and calls every method of the service.
//
//   npm install --no-save --prefix tests/wire/javascript
//   node tests/wire/javascript/client.js HOST:PORT PROTO_FOLDER
//
// Prints what it found as JSON; the store at the address is empty before.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [, , address, folder] = process.argv;
const NAMESPACE = "javascript.docs";
const COUNT = 25;

const definition = loader.loadSync("adiom/v1/adiom.proto", {
  includeDirs: [folder],
  longs: Number,
  enums: String,
  defaults: true,
});
const { ConnectorService } = grpc.loadPackageDefinition(definition).adiom.v1;
const client = new ConnectorService(address, grpc.credentials.createInsecure());

// {"_id": number} as BSON
function document(number) {
  const bytes = Buffer.alloc(14);
  bytes.writeInt32LE(14, 0);
  bytes.write("\x10_id\0", 4, "latin1");
  bytes.writeInt32LE(number, 9);
  return bytes;
}

function identity(number) {
  const data = Buffer.alloc(4);
  data.writeInt32LE(number);
  return { data, type: 0x10, name: "_id" };
}

function call(method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function code(method, request) {
  try {
    await call(method, request);
    return "OK";
  } catch (error) {
    return grpc.status[error.code];
  }
}

// The first message of a stream that has what is wanted.
function firstOf(method, request, wanted) {
  return new Promise((resolve, reject) => {
    const stream = client[method](request);
    stream.on("data", (message) => {
      if (wanted(message)) {
        stream.cancel();
        resolve(message);
      }
    });
    stream.on("error", (error) => (error.code === grpc.status.CANCELLED ? undefined : reject(error)));
    stream.on("end", () => reject(new Error(`${method} ended`)));
  });
}

async function readAll(partitions, type) {
  let found = 0;
  for (const partition of partitions) {
    let cursor = Buffer.alloc(0);
    do {
      const page = await call("ListData", { partition, type, cursor });
      found += page.data.length;
      cursor = page.nextCursor;
    } while (cursor.length > 0);
  }
  return found;
}

async function main() {
  const found = {};
  const info = await call("GetInfo", {});
  const type = info.capabilities.source.supportedDataTypes[0];
  found.id = info.id;
  const before = await call("GeneratePlan", { initialSync: true, updates: true });
  const data = Array.from({ length: COUNT }, (_, number) => document(number));
  await call("WriteData", { namespace: NAMESPACE, data, type });
  found.finish = await code("FinishNamespace", { namespace: NAMESPACE, flow: "javascript", parts: [] });
  found.definitions = [await code("ReadDefinitions", {}), await code("WriteDefinition", {})];
  const updates = [
    { id: [identity(100)], type: "UPDATE_TYPE_INSERT", data: document(100) },
    { id: [identity(0)], type: "UPDATE_TYPE_DELETE" },
  ];
  await call("WriteUpdates", { namespace: NAMESPACE, updates, type });
  found.count = (await call("GetNamespaceMetadata", { namespace: NAMESPACE })).count;
  const plan = await call("GeneratePlan", { namespaces: [NAMESPACE], initialSync: true });
  found.read = await readAll(plan.partitions, type);
  const ids = [{ id: [identity(100)] }, { id: [identity(0)] }];
  const items = (await call("GetByIds", { namespace: NAMESPACE, ids, type })).data;
  found.byIds = items.map((item) => item.data.length);
  const { namespaces, cursor } = before.updatesPartitions[0];
  const change = await firstOf("StreamUpdates", { namespaces, cursor, type }, (message) => message.updates.length > 0);
  found.change = { namespace: change.namespace, moves: change.nextCursor.length > 0 };
  found.lsn = (await firstOf("StreamLSN", { namespaces, cursor }, (message) => message.lsn > 0)).lsn;
  found.garbage = await code("ListData", { partition: { namespace: NAMESPACE, cursor: Buffer.from("no") }, type });
  console.log(JSON.stringify(found));
}

main()
  .then(() => client.close())
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
