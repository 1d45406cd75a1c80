// Opens reports in headless Chromium and says as JSON what it saw. Arguments: the folder of npm's packages, the browser, and pages.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [packages, browserPath, ...pages] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { HtmlValidate } = await import(pathToFileURL(require.resolve("html-validate")));

// Inline styles and the elements `svg` and `data` are meant; long titles hurt nobody.
const validator = new HtmlValidate({
  extends: ["html-validate:standard", "html-validate:a11y"],
  rules: { "long-title": "off", "no-inline-style": "off", "no-implicit-button-type": "off", "attribute-boolean-style": "off" },
});

// No limits of time: a slow machine is none of a page's faults.
const browser = await puppeteer.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"], timeout: 0, protocolTimeout: 0 });
const seen = [];
try {
  for (const path of pages) {
    const url = pathToFileURL(path).href;
    const found = { console: [], requests: [], violations: [], invalid: [], widths: [] };
    for (const report of (await validator.validateFile(path)).results) {
      found.invalid.push(...report.messages.map((message) => `${message.line}: ${message.ruleId}: ${message.message}`));
    }
    const looks = [[1280, "light"], [400, "light"], [1280, "dark"]];
    // A long page has no looks that a short one does not have.
    for (const [width, scheme] of readFileSync(path).length < 500_000 ? looks : looks.slice(0, 2)) {
      const page = await browser.newPage();
      page.setDefaultTimeout(0);
      page.on("console", (message) => found.console.push(message.text()));
      page.on("pageerror", (error) => found.console.push(String(error)));
      page.on("request", (request) => { if (request.url() !== url) found.requests.push(request.url()); });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.setViewport({ width, height: 1000 });
      await page.goto(url);
      found.widths.push([width, await page.evaluate("document.documentElement.scrollWidth")]);
      if (scheme === "light" && width === 1280) {
        found.text = await page.evaluate(`Object.fromEntries(["verdict", "findings", "tasks", "chains", "memory", "lanes", "requirements", "observed"]
          .map((id) => [id, document.getElementById(id)?.innerText ?? null]))`);
        found.bounds = await page.evaluate(`Object.fromEntries([...document.querySelectorAll("#tasks tbody tr")].map((row) =>
          [row.querySelector("a").textContent, row.querySelector("td.strong data")?.value ?? null]))`);
        found.drawings = await page.evaluate(`document.querySelectorAll("svg.gantt[role=img]").length`);
        found.pdf = Buffer.from(await page.pdf({ preferCSSPageSize: true, printBackground: true, timeout: 0 })).toString("latin1").match(/\/Type\s*\/Page\b/g)?.length ?? 0;
      }
      if (width === 1280) {
        // In the dark only colours differ.
        const rules = scheme === "dark" ? `{ runOnly: ["color-contrast"] }` : "{}";
        await page.evaluate(axe);
        const result = await page.evaluate(`axe.run(document, ${rules})`);
        found.violations.push(...result.violations.map((one) => `${scheme}: ${one.id}: ${one.nodes[0].target}: ${one.nodes[0].failureSummary}`));
      }
      await page.close();
    }
    seen.push(found);
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
