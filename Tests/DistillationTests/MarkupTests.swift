import Testing

@testable import Distillation

@Suite struct MarkupTests {
  @Test func interpolatedTextIsEscapedAndMarkupIsNot() {
    let inner: Markup = "<b>\("<script>alert(\"1\")</script>")</b>"
    let outer: Markup = "<p title=\"\("'\"&")\">\(inner)</p>"
    #expect(
      outer.source
        == "<p title=\"&#39;&quot;&amp;\"><b>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;</b></p>")
  }

  @Test func textOfAnyScriptStaysAndForbiddenCharactersDoNot() {
    #expect(Markup.escaped("مثقاب 🪛 \u{2028}") == "مثقاب 🪛 \u{2028}")
    #expect(Markup.escaped("a\u{0}b\u{1B}c\u{FFFE}d\u{85}\n\t") == "a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}\n\t")
  }

  @Test(arguments: [
    (0.0, "0"), (-0.001, "0"), (1.5, "1.5"), (-2.25, "-2.25"), (3.999, "4"), (0.05, "0.05"), (.nan, "0"),
    (1e300, "0"),
  ])
  func coordinatesHaveAtMostTwoDecimals(_ number: Double, _ text: String) {
    #expect(Markup.coordinate(number) == text)
  }

  @Test func figuresAreShortAndSayWhatIsAbsent() {
    #expect(Figure.text(nil) == "–" && Figure.text(.nan) == "–" && Figure.text(-0.0001) == "0.000")
    #expect(
      Figure.text(-0.25, decimals: 2) == "−0.25" && Figure.text(0.25, decimals: 2, signed: true) == "+0.25")
    #expect(
      Figure.compact(0.00002) == "2×10⁻⁵" && Figure.compact(12_345) == "12345"
        && Figure.compact(9.999e-5) == "1×10⁻⁴")
    #expect(Figure.count(-1_234_567) == "−1,234,567" && Figure.count(999) == "999")
    #expect(Figure.shortened("abcdef", to: 4) == "abc…" && Figure.shortened("abcd", to: 4) == "abcd")
    #expect(Figure.list(["a", "b", "c"]) == "a, b and c")
  }
}
