// Verifies each case of standard input with one library: a line for each, `ok` or what was thrown.
const [, , library, options] = process.argv;
const { Webhook } = require(library);
const { secret, cases } = JSON.parse(require("fs").readFileSync(0, "utf8"));
for (const { body, headers } of cases) {
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers, JSON.parse(options));
    console.log("ok");
  } catch (error) {
    console.log(error.constructor.name);
  }
}
