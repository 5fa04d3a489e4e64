/** The text of a message as it came, under a key that no message can have. */
export const RAW = Symbol("raw");

/** Throws SyntaxError for what is not JSON. */
export function read(text, decimal) {
  const message = JSON.parse(text);
  if (decimal && message.type === "tick") {
    for (const name in message) {
      if (/^((bid|ask)_)?(price|volume)$/.test(name)) message[name] = decimal(message[name]);
    }
  }
  message[RAW] = text;
  return message;
}

export const isTick = ({ type, seq }) => type === "tick" && seq !== undefined;

export const assetOf = (topic) => topic.split(":", 1)[0];
