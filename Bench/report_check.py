"""Opens report pages in a headless Chromium and checks what a reader would see; the help is in Bench/report-check.

It speaks the DevTools protocol through the pipe of --remote-debugging-pipe (messages of JSON, each ended by a zero
byte), so it needs nothing but Python's own library.
"""

import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile

WIDTHS = (400, 1280)
SCHEMES = ("light", "dark")
# A4 at 96 pixels an inch, less margins of 10 mm.
PRINT_WIDTH = 718
CONTRAST = 4.5

# Runs in the page. Returns a list of sentences, each something wrong.
EXAMINE = r"""
(required, limit, isPrint) => {
  const wrong = [];
  const name = (e) => {
    const section = e.closest('section[id]');
    const own = e.tagName.toLowerCase() + (e.getAttribute('class') ? '.' + e.getAttribute('class').trim().split(/\s+/).join('.') : '');
    const words = (e.textContent || '').trim().replace(/\s+/g, ' ').slice(0, 40);
    return `${section ? '#' + section.id + ' ' : ''}${own}${words ? ` “${words}”` : ''}`;
  };
  const width = document.documentElement.clientWidth;

  // Sections: each that must be there, each that the contents name, none of them empty.
  const sections = [...document.querySelectorAll('main > section')];
  for (const id of required) {
    if (!document.getElementById(id)) wrong.push(`section ${id} is missing`);
  }
  for (const section of sections) {
    const box = section.getBoundingClientRect();
    const words = section.innerText.trim().length;
    if (box.height < 60 || words < 20) wrong.push(`section ${section.id} is empty (${box.height} px, ${words} characters)`);
  }
  for (const link of document.querySelectorAll('nav a')) {
    if (!document.querySelector(link.getAttribute('href'))) wrong.push(`${link.getAttribute('href')} leads nowhere`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`the id ${id} stands twice`);

  // Overflow: nothing beyond the page's right edge, but inside a part that scrolls by itself.
  const scrolls = (e) => {
    for (let p = e.parentElement; p; p = p.parentElement) {
      if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return p;
    }
    return null;
  };
  const all = [...document.body.querySelectorAll('*')].filter((e) => e.checkVisibility());
  const wide = new Set();
  const over = document.documentElement.scrollWidth - width;
  if (over > 0) wrong.push(`the page is ${over} px wider than ${width}`);
  for (const e of all) {
    if (e.closest('svg') && e.tagName !== 'svg') continue;
    const box = e.getBoundingClientRect();
    if (box.width === 0 || box.height === 0 || e.closest('.skip')) continue;
    if ((box.right > width + 0.5 || box.left < -0.5) && !scrolls(e)) {
      wide.add(e);
      if (!wide.has(e.parentElement)) wrong.push(`${name(e)} spans ${Math.round(box.left)} to ${Math.round(box.right)} of ${width} px`);
    }
  }

  // Charts: something is drawn, inside its frame, and no two words lie on each other.
  const svgs = [...document.querySelectorAll('svg')].filter((e) => e.checkVisibility());
  if (required.length && !svgs.length) wrong.push('there is no chart');
  for (const svg of svgs) {
    const label = (svg.querySelector('title') || {}).textContent || 'a chart';
    const frame = svg.getBoundingClientRect();
    const bounds = svg.getBBox();
    if (frame.width < 150 || frame.height < 30) { wrong.push(`“${label}” is ${frame.width} by ${frame.height} px`); continue; }
    if (!(bounds.width > 0 && bounds.height > 0)) wrong.push(`“${label}” draws nothing`);
    const marks = [...svg.querySelectorAll('.line, .dot, .bar, .whisker')];
    if (!marks.some((m) => { const b = m.getBBox(); return b.width > 0 || b.height > 0; })) wrong.push(`“${label}” has no data`);
    const texts = [...svg.querySelectorAll('text')].map((e) => ({ e, box: e.getBoundingClientRect() }));
    for (const { e, box } of [...texts, ...marks.map((e) => ({ e, box: e.getBoundingClientRect() }))]) {
      if (box.right > frame.right + 1 || box.left < frame.left - 1 || box.bottom > frame.bottom + 1 || box.top < frame.top - 1) {
        wrong.push(`“${label}” cuts ${name(e)}: by ${[frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom].map((d) => Math.max(0, Math.round(d))).join(', ')} px at the left, right, top, bottom`);
      }
    }
    texts.forEach((a, i) => texts.slice(i + 1).forEach((b) => {
      const w = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const h = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      const scale = frame.width / svg.viewBox.baseVal.width;
      if (w > 1 && h > 4 * scale) wrong.push(`“${label}”: “${a.e.textContent}” and “${b.e.textContent}” overlap by ${Math.round(w)} by ${Math.round(h)} px`);
    }));
    const size = Math.min(...texts.map((t) => parseFloat(getComputedStyle(t.e).fontSize) * frame.width / svg.viewBox.baseVal.width));
    if (size < 8) wrong.push(`“${label}” has text of ${size.toFixed(1)} px`);
  }

  // Contrast of every word against what lies behind it.
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const rgba = (color) => {
    if (!known.has(color)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
      const d = context.getImageData(0, 0, 1, 1).data;
      known.set(color, [d[0] / 255, d[1] / 255, d[2] / 255, d[3] / 255]);
    }
    return known.get(color);
  };
  const blend = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e, box) => {
    // What is drawn below the word's middle: its ancestors, and whatever is placed there by itself.
    let stack = document.elementsFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2).reverse();
    if (!stack.includes(e)) {
      stack = [];
      for (let p = e; p; p = p.parentElement) stack.unshift(p);
    }
    let color = blend(rgba(getComputedStyle(document.documentElement).backgroundColor), [1, 1, 1]);
    for (const p of stack) {
      if (p.closest('svg') && p.tagName !== 'svg') continue;
      color = blend(rgba(getComputedStyle(p).backgroundColor), color);
    }
    return color;
  };
  const worst = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest('title, desc, style, .skip') || !e.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    const style = getComputedStyle(e);
    const ink = [...rgba(e.closest('svg') ? style.fill : style.color)];
    for (let p = e; p; p = p.parentElement) ink[3] *= parseFloat(getComputedStyle(p).opacity);
    const ground = behind(e, box);
    const [a, b] = [light(blend(ink, ground)), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = e.tagName + '.' + e.getAttribute('class') + (e.closest('section') || {}).id;
    if (ratio < limit && (!worst.has(key) || worst.get(key)[0] > ratio)) worst.set(key, [ratio, name(e)]);
  }
  for (const [ratio, words] of worst.values()) wrong.push(`contrast of ${ratio.toFixed(2)} : 1, ${words}`);
  return wrong;
}
"""


class Browser:
    """A headless browser, spoken to through a pipe."""

    def __init__(self, path, profile):
        down, self.output = os.pipe()
        self.input, up = os.pipe()
        arguments = [
            path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--no-first-run", "--disable-background-networking", "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        # The browser reads descriptor 3 and writes descriptor 4, whatever numbers the pipes have here.
        command = f'exec "$@" 3<&{down} 4>&{up}'
        self.process = subprocess.Popen(
            ["bash", "-c", command, "browser", *arguments], pass_fds=(down, up), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(down)
        os.close(up)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.events = []

    def receive(self):
        while b"\0" not in self.buffer:
            part = os.read(self.input, 1 << 20)
            if not part:
                raise SystemExit("report-check: the browser ended")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data):]
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"report-check: {method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def open(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def load(self, url):
        self.events = []
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def evaluate(self, source):
        answer = self.call("Runtime.evaluate", expression=source, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise SystemExit(f"report-check: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def show(self, width, scheme, media="screen"):
        """Lays the page out in a window as tall as the page, so that every point of it can be asked for."""
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        height = 900
        for _ in range(2):
            self.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
            height = min(self.evaluate("Math.ceil(document.documentElement.scrollHeight)"), 200_000)

    def save(self, path):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self.process.terminate()
        self.process.wait()


def complaints(events, url):
    """What the browser itself reported while it loaded and laid out the page."""
    for event in events:
        method, data = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            yield f"script error: {data['exceptionDetails']['text']}"
        elif method == "Runtime.consoleAPICalled" and data["type"] in ("error", "warning", "assert"):
            yield f"console: {' '.join(str(part.get('value')) for part in data['args'])}"
        elif method == "Log.entryAdded" and data["entry"]["level"] in ("error", "warning"):
            yield f"console: {data['entry']['text']}"
        elif method == "Network.requestWillBeSent" and data["request"]["url"] != url:
            yield f"a request for {data['request']['url'][:200]}"


# Reads the table of the metrics section: of each run a value and an interval a metric.
METRICS = r"""
(() => [...document.querySelectorAll('#metrics table.metrics tbody tr')].map((row) =>
  [...row.querySelectorAll('td')].map((cell) => [...cell.querySelectorAll('b, small')].map((e) => e.textContent))))()
"""

# In the order of the table's columns.
NAMES = ("accuracy", "macro_f1", "weighted_f1", "auc", "spearman", "ndcg_at_10", "ece", "log_loss")


def figure(value):
    """A number as the page writes it."""
    digits = f"{abs(value):.3f}"
    return ("\u2212" if value < 0 and float(digits) != 0 else "") + digits


def measured(folder, retort, scratch):
    """What 'retort eval' finds for a run's predictions; None where the dev pairs are gone."""
    run = pathlib.Path(folder)
    dev = json.loads((run / "settings.json").read_text())["inputs"]["dev"]["path"]
    how = json.loads((run / "evaluation.json").read_text())["settings"]
    if not os.path.exists(dev):
        return None
    labels = pathlib.Path(scratch, "labels.json")
    labels.write_text(json.dumps({"labels": json.loads((run / "retort.json").read_text())["labels"]}))
    command = [
        retort, "eval", "--predictions", run / "dev_predictions.jsonl", "--input", dev, "--labels", labels, "--json",
        "--resamples", how["resamples"], "--seed", how["seed"],
    ]
    return json.loads(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE).stdout)


def cross_check(browser, report, retort, scratch):
    """Compares the page's metrics with those that 'retort eval' finds in the runs' predictions."""
    runs = [run for run in json.loads(pathlib.Path(report).read_text())["runs"] if run["metrics"]]
    rows = browser.evaluate(METRICS)
    if len(rows) != len(runs):
        yield f"{len(rows)} runs in the table of metrics, {len(runs)} have metrics"
        return
    for run, row in zip(runs, rows):
        found = measured(run["path"], retort, scratch)
        if found is None:
            print(f"  the dev pairs of {run['name']} are gone; its metrics are not compared")
            continue
        for name, cell in zip(NAMES, row):
            metric = found[name]
            wanted = [] if metric["value"] is None else [figure(metric["value"])]
            if wanted and metric["low"] is not None:
                wanted.append(f"[{figure(metric['low'])}, {figure(metric['high'])}]")
            if wanted != cell:
                yield f"{run['name']}: {name} is {' '.join(cell)} on the page, {' '.join(wanted)} in 'retort eval'"


def check(browser, page, required, shots):
    url = pathlib.Path(page).resolve().as_uri()
    wrong = []

    def examine(place, sections, is_print=False):
        found = browser.evaluate(f"({EXAMINE})({json.dumps(sections)}, {CONTRAST}, {json.dumps(is_print)})")
        wrong.extend(f"{place}: {words}" for words in found)

    browser.load(url)
    for scheme in SCHEMES:
        for width in WIDTHS:
            place = f"{scheme}, {width} px"
            browser.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = false })")
            browser.show(width, scheme)
            if shots:
                browser.save(f"{shots}/{pathlib.Path(page).stem}-{scheme}-{width}.png")
            examine(place, required)
            browser.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true })")
            browser.show(width, scheme)
            examine(f"{place}, details open", [])
    browser.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = false })")
    browser.show(PRINT_WIDTH, "light", media="print")
    examine("print", [], is_print=True)
    if shots:
        browser.call("Emulation.setEmulatedMedia", media="")
        printed = browser.call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        pathlib.Path(f"{shots}/{pathlib.Path(page).stem}.pdf").write_bytes(base64.b64decode(printed["data"]))
    wrong.extend(complaints(browser.events, url))
    return list(dict.fromkeys(wrong))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", nargs="+")
    parser.add_argument("--browser", required=True)
    parser.add_argument("--sections", default="")
    parser.add_argument("--shots")
    parser.add_argument("--report", help="what 'retort report --json' printed of the one page")
    parser.add_argument("--retort")
    options = parser.parse_args()
    required = [name for name in options.sections.split(",") if name]
    if options.shots:
        os.makedirs(options.shots, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(options.browser, profile)
        try:
            browser.open()
            for page in options.pages:
                wrong = check(browser, page, required, options.shots)
                if options.report:
                    wrong += cross_check(browser, options.report, options.retort, profile)
                failed = failed or bool(wrong)
                print(f"{page}: {f'{len(wrong)} things wrong' if wrong else 'as it should be'}")
                for words in wrong[:60]:
                    print(f"  {words}")
                if len(wrong) > 60:
                    print(f"  and {len(wrong) - 60} more")
        finally:
            browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
