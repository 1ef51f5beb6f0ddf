"""One table of the records: Retort's figure, PyTorch's, and the ratio that the documents' targets are about."""


def result(records, name):
    record = records.get(name)
    return record.get("result") if record else None


def row(what, unit, retort, torch, target=None, against="torch"):
    ratio = retort / torch if retort and torch else None
    return {"what": what, "unit": unit, "retort": retort, "peer": torch, "against": against, "ratio": ratio, "target": target}


def found(cases, **keys):
    return next((c for c in cases if all(c.get(k) == v for k, v in keys.items())), None)


def bandwidth(records):
    """The copy bandwidth in GB/s that `devices --probe` measured, of the first GPU or else the first device, or None."""
    devices = (result(records, "devices") or {}).get("devices", [])
    rates = [d.get("rates", {}).get("copy_gigabytes_per_second", {}).get("value") for d in sorted(devices, key=lambda d: d.get("kind") != "gpu")]
    return next((rate for rate in rates if rate), None)


def cases(records, name):
    return (result(records, name) or {}).get("cases", [])


def gemm_rows(records):
    out, torch = [], cases(records, "gemm-torch")
    for precision in ("bf16", "f32", "int8"):
        for product in (result(records, f"gemm-{precision}-retort") or {}).get("products", []):
            # What int8 must beat is bfloat16.
            other = "bf16" if precision == "int8" else precision
            peer = found(torch, precision=other, size=product["size"])
            target = 0.6 if precision == "bf16" and product["size"] == 8192 and product["form"] == "matmul" else None
            what = f"GEMM {precision} {product['size']}³, {product['form']}" + (f" ({product['error']})" if "error" in product else "")
            out.append(row(what, "GFLOP/s", product.get("gflops"), peer and peer["gflops"], target,
                           "torch" if other == precision else f"torch {other}"))
    return out


def attention_rows(records):
    out, torch, copy = [], cases(records, "attention-torch"), bandwidth(records)
    for case in cases(records, "attention-retort"):
        keys = {k: case[k] for k in ("kind", "sequences", "length")}
        peer = found(torch, **keys)
        what = f"attention, {keys['kind']} {keys['sequences']} × {keys['length']}"
        if keys["kind"] == "decode":
            out.append(row(what, "GB/s", case["gigabytes_per_second"], copy, 0.8, "copy bandwidth"))
        # The same work by both sides' time; each counts FLOPs a little differently.
        out.append(row(what, "calls/s", 1 / case["seconds"], peer and 1 / peer["seconds"], 0.5 if keys["kind"] == "prefill" else None))
    return out


def row_rows(records):
    out, torch, copy = [], cases(records, "rows-torch"), bandwidth(records)
    for case in cases(records, "rows-retort"):
        peer = found(torch, operation=case["operation"])
        out.append(row(case["operation"], "GB/s", case["gigabytes_per_second"], copy, 0.85, "copy bandwidth"))
        out.append(row(case["operation"], "calls/s", 1 / case["seconds"], peer and 1 / peer["seconds"]))
    return out


def decoder_rows(records):
    out, torch = [], result(records, "decoder-torch") or {}
    for dtype in ("bf16", "q4_K", "int8"):
        told = result(records, f"decoder-{dtype}-retort")
        if not told:
            continue
        for case in told["prefill"]:
            peer = found(torch.get("prefill", []), prompt_tokens=case["prompt_tokens"])
            out.append(row(f"{told['model']} {dtype}, prefill {case['prompt_tokens']}", "tokens/s", case["tokens_per_second"],
                           peer and peer["tokens_per_second"], None, "torch bf16"))
        for case in told["decode"]:
            peer = found(torch.get("decode", []), batch=case["batch"])
            out.append(row(f"{told['model']} {dtype}, decode × {case['batch']}", "tokens/s", case["tokens_per_second"],
                           peer and peer["tokens_per_second"], None, "torch bf16"))
            copy = bandwidth(records)
            if case["batch"] == 1 and copy:
                out.append(row(f"{told['model']} {dtype}, decode × 1, weights read", "GB/s",
                               case["tokens_per_second"] * told["weight_bytes"] / 1e9, copy, 0.8, "copy bandwidth"))
    return out


def whole_rows(records):
    out = []
    told, peer = result(records, "train-retort"), result(records, "train-torch")
    if told:
        out.append(row("student's training step, bf16", "steps/s", told["steps_per_second"], peer and peer["steps_per_second"]))
    for name in records:
        if name.startswith("label-") and name.endswith("-retort") and result(records, name):
            # In int8 the peer is the same: there is one a model.
            told, peer = result(records, name), result(records, name[:-len("retort")].replace("-int8-", "-") + "torch")
            out.append(row(f"bulk labelling, {name[len('label-'):-len('-retort')]}", "pairs/s", told["pairs_per_second"],
                           peer and peer["pairs_per_second"], 5, "transformers generate"))
    return out


def rows(records):
    return gemm_rows(records) + attention_rows(records) + row_rows(records) + decoder_rows(records) + whole_rows(records)


def number(value):
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def tuned(records):
    """What the launch parameters were measured to be, and how much faster than the shipped ones."""
    told = result(records, "tune")
    if not told:
        return ["Launch parameters: those of the tables that were there, as no search ended.", ""]
    lines = []
    for finding in told.get("findings", []):
        if "failure" not in finding and finding["best"] != finding["default"]:
            best = " ".join(f"{name}={value}" for name, value in sorted(finding["best"].items()))
            gain = finding["default_microseconds"] / finding["microseconds"] - 1
            lines.append(f"- {finding['kernel']} {finding['class']}: {best}, {gain:+.0%}")
    return ["Launch parameters found to be faster than the shipped ones:", "", *(lines or ["- none"]), ""]


def markdown(rows, failures, records):
    torch = next((r["result"] for r in records.values() if r and r.get("side") == "torch" and r.get("result", {}).get("torch")), {})
    check = result(records, "check-device") or {}
    lines = [f"PyTorch {torch.get('torch', '—')} on {torch.get('device', '—')}; OpenCL on {check.get('device', '—')}, "
             f"driver {check.get('driver', '—')}", ""]
    if "cases" in check:
        lines += [f"Operations checked: {check['passed']} of {check['cases']} cases pass.", ""]
    lines += tuned(records)
    lines += ["| what | unit | Retort | peer | against | ratio | target |", "|---|---|---:|---:|---|---:|---:|"]
    for r in rows:
        mark = "" if r["target"] is None or r["ratio"] is None else (" ✓" if r["ratio"] >= r["target"] else " ✗")
        lines.append(f"| {r['what']} | {r['unit']} | {number(r['retort'])} | {number(r['peer'])} | {r['against']} | "
                     f"{number(r['ratio'])}{mark} | {number(r['target']) if r['target'] else ''} |")
    if failures:
        lines += ["", "Not measured:", ""] + [f"- {name}: {reason}" for name, reason in failures.items()]
    return "\n".join(lines) + "\n"
