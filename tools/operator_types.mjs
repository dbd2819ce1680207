// Reads a JSON list of objects, validates Prometheus Operator's kinds against their types, and prints the errors as JSON.
import { text } from "node:stream/consumers";
import * as types from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

// The types accept unknown fields, which the cluster would silently drop: a field that the validation never reads is
// unknown.
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
