// Reads a CloudEvent in JSON from each line of standard input, and writes what the SDK makes of it as a line of JSON.
import { HTTP } from "cloudevents";
import { createInterface } from "node:readline";
import process from "node:process";

for await (const body of createInterface({ input: process.stdin })) {
  const event = HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body });
  event.validate();
  process.stdout.write(`${JSON.stringify(event)}\n`);
}
