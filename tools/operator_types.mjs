// Reads a JSON list of objects and prints what Prometheus Operator's types find wrong with its kinds, as JSON.
import { text } from "node:stream/consumers";
import * as types from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

// The types let fields pass that they do not know, and the cluster drops them without a word: a field that the check
// never looked at is one that nobody knows.
function watched(value, path, unread) {
  if (typeof value !== "object" || value === null) return value;
  const wrapped = new Map();
  if (!Array.isArray(value)) for (const key of Object.keys(value)) unread.add(`${path}.${key}`);
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === "symbol" || !Object.hasOwn(target, key)) return Reflect.get(target, key);
      unread.delete(`${path}.${key}`);
      if (!wrapped.has(key)) wrapped.set(key, watched(target[key], `${path}.${key}`, unread));
      return wrapped.get(key);
    },
  });
}

const complaints = [];
let seen = 0;
for (const object of JSON.parse(await text(process.stdin))) {
  if (object.apiVersion !== "monitoring.coreos.com/v1") continue;
  seen += 1;
  const name = `${object.kind} ${object.metadata?.name}`;
  const unread = new Set();
  try {
    const typed = new types[object.kind](object);
    typed.spec = watched(object.spec, "spec", unread);
    typed.validate();
    complaints.push(...[...unread].map((path) => `${name}: ${path} is unknown`));
  } catch (error) {
    complaints.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify({ seen, complaints }));
