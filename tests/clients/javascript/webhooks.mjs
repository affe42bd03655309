// Reads a webhook from each line of standard input: {key, headers, body}, the body in Base64. Writes whether it is genuine.
import { Webhook } from "standardwebhooks";
import { createInterface } from "node:readline";
import process from "node:process";

for await (const line of createInterface({ input: process.stdin })) {
  const { key, headers, body } = JSON.parse(line);
  let genuine = true;
  try {
    new Webhook(key).verify(Buffer.from(body, "base64").toString(), headers);
  } catch (error) {
    if (error.name !== "WebhookVerificationError") throw error;
    genuine = false;
  }
  process.stdout.write(`${genuine}\n`);
}
