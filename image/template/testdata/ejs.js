// Fills in what Node's ejs makes of the templates in ejs.json: the reference that
// TestRendersAsEJS compares with. Not needed by the test. Made with the Debian
// packages nodejs and node-ejs (3.1.8):
//
//     node ejs.js
//
// The escape function is none, because <%= prints raw in images' templates.
const ejs = require("ejs");
const fs = require("fs");

const golden = JSON.parse(fs.readFileSync("ejs.json", "utf8"));
const escape = (s) => (s === undefined || s === null ? "" : String(s));
for (const c of golden.cases) {
	delete c.output;
	delete c.fails;
	try {
		c.output = ejs.render(c.template, JSON.parse(JSON.stringify(golden.scope)), { escape });
	} catch {
		c.fails = true;
	}
}
golden.made_with = "ejs " + ejs.VERSION;
fs.writeFileSync("ejs.json", JSON.stringify(golden, null, "\t") + "\n");
