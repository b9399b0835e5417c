// Run by test_receipt_page.py: the page's own check over the checked-in receipts, one line of JSON each.
import { readFileSync } from "node:fs";

const [vectors, signatures, ...scripts] = process.argv.slice(2);
if (signatures === "library") crypto.subtle.importKey = () => Promise.reject(new Error("an old browser: no Ed25519 of its own"));
const source = scripts.map((name) => readFileSync(name, "utf-8")).join("\n");
const module = await import("data:text/javascript;base64," +
  Buffer.from(source + "\nexport { OrderReceipts };").toString("base64"));
const { keys, receipts } = JSON.parse(readFileSync(vectors, "utf-8"));
for (const { name, text, worker, order } of receipts) {
  const failsAt = await module.OrderReceipts.verify(text, keys, { worker, order }).then(() => null, (error) => error.step ?? String(error));
  console.log(JSON.stringify([name, failsAt]));
}
