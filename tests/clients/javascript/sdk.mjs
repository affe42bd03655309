// Drives one of the platform's SDKs through the life of integrations, and prints what it got as JSON.
// node sdk.mjs PACKAGE HOST; CLIENT_ID, CLIENT_SECRET and RECEIVER (a webhook's URL) are in the environment.
import { createRequire } from "node:module";
import process from "node:process";

const [name, host] = process.argv.slice(2);
const { CLIENT_ID: client_id, CLIENT_SECRET: client_secret, RECEIVER: url } = process.env;
const { gateway, MemoryStorageFactory } = createRequire(import.meta.url)(name);
const api = gateway({ client_id, client_secret, host, protocol: "http", storage: new MemoryStorageFactory() });

const TYPES = {
  webhook: { url, secret_key: "a secret of the shop" },
  aws_sqs: {
    url: "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
    aws_access_key_id: "AKIAIOSFODNN7EXAMPLE",
    aws_secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region: "eu-west-1",
  },
  stomp: { addresses: ["stomp+ssl://broker.example:61614"], destination: "/queue/orders", username: "me", password: "pw" },
};

/** Ask until the answer has something, for at most 100 s. */
async function eventually(ask) {
  for (const end = Date.now() + 100_000; Date.now() < end; await new Promise((done) => setTimeout(done, 100))) {
    const answer = await ask();
    if (answer.data.length) return answer;
  }
  throw new Error("nothing came within 100 s");
}

const found = { login: await api.Authenticate(), created: {} };
for (const [integration_type, configuration] of Object.entries(TYPES)) {
  const answer = await api.Integrations.Create({
    type: "integration",
    name: `${name} ${integration_type}`,
    description: "of an SDK",
    enabled: true,
    observes: ["order.paid"],
    integration_type,
    configuration,
  });
  found.created[integration_type] = answer.data;
}
const hook = found.created.webhook.id;
found.updated = (await api.Integrations.Update(hook, { description: "changed" })).data;

found.paged = [];
do {
  found.page = await api.Integrations.Limit(2).Offset(found.paged.length).Sort("name").All();
  found.paged.push(...found.page.data.map((each) => each.integration_type));
} while (found.paged.length < found.page.meta.results.total);
found.filtered = (await api.Integrations.Filter({ eq: { integration_type: "stomp" } }).All()).data.map((each) => each.name);
found.attributes = (await api.Integrations.Attributes()).data.map((each) => each.value);

const event = { type: "order.paid", id: `of ${name}`, data: { type: "order", id: "o-1" } };
const published = await fetch(`http://${host}/v2/events`, {
  method: "POST",
  headers: { Authorization: `Bearer: ${found.login.access_token}`, "Content-Type": "application/json;charset=UTF8" },
  body: JSON.stringify({ data: event }),
});
found.published = published.status;
found.logs = (await eventually(() => api.Integrations.GetLogs(hook))).data;
found.all = (await api.Integrations.GetAllLogs()).data.length;
found.jobs = (await api.Integrations.GetJobs(hook)).data;
found.ofJob = (await api.Integrations.GetAllLogsForJob(hook, found.jobs[0].id)).data;

for (const { id } of Object.values(found.created)) await api.Integrations.Delete(id);
found.gone = await api.Integrations.Get(hook).then(
  () => null,
  (error) => error.errors[0].status,
);
found.left = (await api.Integrations.All()).data.length;
process.stdout.write(JSON.stringify(found));
