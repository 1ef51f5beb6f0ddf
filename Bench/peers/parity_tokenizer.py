"""Compares token ids of retort and of Hugging Face `tokenizers` on generated texts of many scripts.

The reference tokenizer has the file's vocabulary, merges and special tokens and the published pre-tokenizer.
Retort is run on the GGUF and, with the same tokenizer written as tokenizer.json, on a Hugging Face folder. Of an
encoder the reference is its tokenizer.json, for single texts and for pairs cut to several lengths.
Prints the first differences; exits 1 if there is one.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import reference

WORDS = {
    "english": "the relevance of an item isn't what we'd expect; they're I'll you've Don't CAN'T naive co-op rock'n'roll state-of-the-art",
    "german": "Straße Größe Übermut Äpfel Donaudampfschifffahrt müßig der die das für",
    "french": "l'été où garçon œuvre naïf aujourd'hui qu'il Noël ça",
    "spanish": "¿Dónde está el niño? ¡Qué día! año mañana",
    "polish": "źdźbło łódź książka zażółć gęślą jaźń",
    "turkish": "İstanbul ışık çiğdem şeker gözlük",
    "vietnamese": "Tiếng Việt đường phố người nước",
    "greek": "Η γρήγορη αλεπού πηδάει ΟΔΟΣ όδος",
    "russian": "быстрая лиса прыгает через ленивую собаку ЁЛКА подъезд",
    "ukrainian": "їжак ґанок щастя Україна",
    "hebrew": "שלום עולם בְּרֵאשִׁית ספר",
    "arabic": "مرحبا بالعالم القِطّة ١٢٣ السلام",
    "persian": "سلام دنیا می‌خواهم کتاب‌ها ۴۵۶",
    "hindi": "नमस्ते दुनिया क्षेत्र हिन्दी १२३",
    "bengali": "আমার সোনার বাংলা ক্ষমা",
    "tamil": "வணக்கம் உலகம் தமிழ்",
    "thai": "สวัสดีชาวโลก ภาษาไทย น้ำ",
    "khmer": "សួស្តី ពិភពលោក",
    "georgian": "გამარჯობა მსოფლიო",
    "armenian": "Բարեւ աշխարհ",
    "amharic": "ሰላም ልዑል",
    "chinese": "你好世界 商品相关性 學習 ，。！？「引号」 三十二号",
    "japanese": "こんにちは世界 カタカナ ﾊﾝｶｸ が パン 東京タワー 々",
    "korean": "안녕하세요 세계 한국어 각",
    "mongolian": "ᠮᠣᠩᠭᠣᠯ",
    "emoji": "😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ☀️ ❤ 🇩🇪 1️⃣ 🧑‍💻",
    "symbols": "€ £ ¥ © ™ ± × ÷ ≤ ≠ ∑ √ ∞ ½ ² ₃ Ⅷ ① ㊗ ℃ № … – — “ ” ‘ ’ « » • → ⇒ █",
    "mathematical": "𝐀𝓑𝔠 𝟘𝟙 x² ∂f/∂x ∀ε>0",
    "rare": "𐍈 𒀀 𓀀 𝄞 𠜎 ﬁ ﬀ Å Å é é ñ ệ ǰ ſ ẞ ß",
}
CODE = """def f(x, *, y=1):\n    return x ** 2 + y  # note
for (int i = 0; i < n; ++i) { a[i] += b[i] * 3.14e-10f; }
SELECT a.id, COUNT(*) FROM t AS a WHERE x <> 'it''s' GROUP BY 1;
<div class="a b" id='c'>&nbsp;<br/></div>
{"key": [1, 2.5, null, true], "u": "\\u00e9\\n"}
let s = "\\(name)!"; guard case .some(let v)? = x else { return }
\tif [ -f "$HOME/.x" ]; then\n\t\techo $((1+2)) | sed 's/a/b/g'\n\tfi
https://example.org/a/b?c=d&e=%20f#g user@example.com C:\\\\dir\\\\file.txt ../../x_y-z.tar.gz
0x1F 1_000_000 3.14159 1e-5 12,345.67 2026-11-21T05:06:07Z v1.2.3-rc.4+5 #fff $9.99 50% ½in 10mm²
\\begin{equation} \\frac{a}{b} = \\sqrt{2} \\end{equation}
a->b::c<d>&&!e||f??g?.h===i!==j<<=k>>>l""".split("\n")
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", " \n", "\n ", "\r\n", "\r", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028",
          "\x0b", "\x0c", "\x85", "\x1c", "\ufeff", "\t\n \t", "      ", "\u202f", "\u1680"]
CONTRACTIONS = ["'s", "'S", "'t", "'re", "'VE", "'m", "'ll", "'D", "’s", "'x", "''s", "'ſ", "'İ"]


def random_character(chance):
    """A code point of any assigned-looking range, no surrogate."""
    low, high = chance.choice([(0x20, 0x7E), (0x80, 0x2FF), (0x300, 0x36F), (0x370, 0x1FFF), (0x2000, 0x2BFF), (0x3000, 0x9FFF),
                               (0xAC00, 0xD7A3), (0xF900, 0xFFFD), (0x10000, 0x1FAFF), (0x0, 0x1F), (0xE0000, 0xE01EF)])
    return chr(chance.randint(low, high))


def generate_texts(count, specials, seed=7):
    """`count` different texts: every sample alone, then seeded mixtures."""
    chance, scripts = random.Random(seed), list(WORDS)
    texts = ["", *WORDS.values(), *CODE, *SPACES, *CONTRACTIONS, *specials, "\n".join(CODE)]
    texts += [w for line in WORDS.values() for w in line.split(" ")]

    def words():
        line = WORDS[chance.choice(scripts)].split(" ")
        return chance.choice([" ", " ", " ", "", chance.choice(SPACES)]).join(chance.choices(line, k=chance.randint(1, 12)))
    pieces = [
        words, words, words, lambda: chance.choice(CODE), lambda: chance.choice(SPACES) * chance.randint(1, 4),
        lambda: str(chance.randint(0, 10 ** chance.randint(1, 15))), lambda: chance.choice(CONTRACTIONS),
        lambda: "".join(random_character(chance) for _ in range(chance.randint(1, 8))),
        lambda: chance.choice("!?.,;:-_/\\|()[]{}<>@#$%^&*~`'\"+=") * chance.randint(1, 5),
        lambda: "".join(chance.choice([str.upper, str.lower, str.title])(words())),
    ]
    while len(texts) < count * 2 and len(set(texts)) < count:
        text = "".join(chance.choice(pieces)() for _ in range(chance.randint(1, 8)))
        if specials and chance.random() < 0.08:
            cut = chance.randint(0, len(text))
            text = text[:cut] + chance.choice(specials) + text[cut:]
        texts.append(text)
    return list(dict.fromkeys(texts))[:max(count, 1)]


def retort_ids(binary, model, file):
    output = reference.run_retort(binary, ["tokenize", "--model", model, "--input", file])
    return [json.loads(line) for line in output.splitlines()]


def report(route, texts, expected, found):
    """Prints how many texts differ and the first of them; returns the number."""
    if len(found) != len(texts):
        print(f"{route}: {len(found)} lines for {len(texts)} texts")
        return 1
    bad = [i for i in range(len(texts)) if found[i] != expected[i]]
    print(f"{route}: {len(texts) - len(bad)} of {len(texts)} texts agree")
    for i in bad[:10]:
        at = next((k for k, (a, b) in enumerate(zip(found[i], expected[i])) if a != b), min(len(found[i]), len(expected[i])))
        print(f"  {json.dumps(texts[i])[:160]}\n    at {at}: retort {found[i][at:at + 8]}, expected {expected[i][at:at + 8]}")
    return len(bad)


def encoder_routes(folder, temporary):
    """The folder as it is, and one with its vocab.txt alone."""
    yield "tokenizer.json", folder
    plain = temporary / "vocab"
    plain.mkdir()
    for name in ("config.json", "tokenizer_config.json", "vocab.txt"):
        if not (folder / name).is_file():
            return
        shutil.copy(folder / name, plain / name)
    yield "vocab.txt", plain


def compare_encoder(folder, arguments):
    """Ids of single texts and of pairs cut to several lengths; returns the number of differences."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    texts = generate_texts(arguments.count, specials, arguments.seed)
    chance = random.Random(arguments.seed)
    pairs = [[chance.choice(texts), chance.choice(texts)] for _ in range(len(texts) // 2)]
    binary, bad = reference.retort_binary(arguments.retort), 0
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        rows = temporary / "rows.jsonl"
        for route, model in encoder_routes(folder, temporary):
            for what, inputs, lengths in [("texts", texts, [None, 16]), ("pairs", pairs, [None, 3, 8, 33, 64])]:
                rows.write_text("".join(json.dumps(t) + "\n" for t in inputs), encoding="utf-8")
                for length in lengths:
                    tokenizer.no_truncation()
                    if length:
                        tokenizer.enable_truncation(length, strategy="longest_first")
                    expected = [e.ids for e in tokenizer.encode_batch([tuple(i) if isinstance(i, list) else i for i in inputs])]
                    command = ["tokenize", "--model", model, "--input", rows] + (["--max-length", length] if length else [])
                    found = [json.loads(line) for line in reference.run_retort(binary, command).splitlines()]
                    bad += report(f"{route}, {what}, {f'cut to {length}' if length else 'whole'}", inputs, expected, found)
    return bad


def main():
    parser = argparse.ArgumentParser(prog="Bench/peers/parity_tokenizer", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a GGUF, an encoder's folder, or a name of Tools/fetch-model")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--retort", help="the binary (default: build it)")
    parser.add_argument("--keep", type=Path, help="also write texts.jsonl, ids.jsonl and tokenizer.json here")
    parser.add_argument("--reference-only", action="store_true")
    arguments = parser.parse_args()
    folder = reference.model_folder(arguments.model)
    if folder:
        return 1 if compare_encoder(folder, arguments) else 0
    path = reference.find_model(arguments.model)
    tokenizer = reference.load_tokenizer(path)
    specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    texts = generate_texts(arguments.count, specials, arguments.seed)
    expected = [e.ids for e in tokenizer.encode_batch(texts)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "texts.jsonl").write_text("".join(json.dumps(t, ensure_ascii=bool(i % 2)) + "\n" for i, t in enumerate(texts)),
                                            encoding="utf-8", newline="")
        (folder / "ids.jsonl").write_text("".join(json.dumps(e) + "\n" for e in expected))
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        # A tokenizer.json route needs a folder that looks like a model's.
        (folder / "config.json").write_text(json.dumps({"model_type": reference.Reader(path).get("general.architecture")}))
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for name in ("texts.jsonl", "ids.jsonl", "tokenizer.json", "config.json"):
                shutil.copy(folder / name, arguments.keep / name)
        print(f"{len(texts)} texts, {sum(map(len, expected))} tokens by Hugging Face")
        if arguments.reference_only:
            return 0
        binary = reference.retort_binary(arguments.retort)
        bad = report("GGUF", texts, expected, retort_ids(binary, path, folder / "texts.jsonl"))
        bad += report("tokenizer.json", texts, expected, retort_ids(binary, folder, folder / "texts.jsonl"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
