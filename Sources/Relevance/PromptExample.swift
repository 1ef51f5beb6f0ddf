/// A few-shot example of the built-in prompt.
struct PromptExample: Sendable {
  /// Which label of a set the example stands for.
  enum Place: Sendable {
    case best, middle, worst
  }

  let query: String
  let item: String
  let asks: String
  let place: Place
  /// By aspect name; an aspect that is not here is one that the query does not ask for.
  let judgements: [String: (verdict: Verdict, reason: String)]

  static let standard: [PromptExample] = [
    PromptExample(
      query: "black 30 in electric range", item: "Whirlpool 30 in. 4.8 cu. ft. Electric Range in Black",
      asks: "electric range, black, 30 in", place: .best,
      judgements: [
        "product type": (.match, "electric range"),
        "attributes": (.match, "black and 30 in"),
      ]),
    PromptExample(
      query: "milwaukee m18 impact driver", item: "Ryobi 18-Volt ONE+ Impact Driver Kit",
      asks: "impact driver, Milwaukee, M18", place: .middle,
      judgements: [
        "product type": (.match, "impact driver"),
        "brand": (.mismatch, "Ryobi, not Milwaukee"),
        "model": (.mismatch, "ONE+, not M18"),
        "attributes": (.match, "18-Volt"),
      ]),
    PromptExample(
      query: "cedar fence picket", item: "Everbilt 3/4 in. Brass Hose Adapter",
      asks: "fence picket, cedar", place: .worst,
      judgements: [
        "product type": (.mismatch, "hose adapter"),
        "attributes": (.mismatch, "brass, not cedar"),
        "use": (.mismatch, "plumbing, not fencing"),
      ]),
  ]

  /// The label that the example carries in a set, or nil where the set has no middle.
  func label(in labels: LabelSet) -> Label? {
    let ranked = labels.bestFirst
    switch place {
    case .best: return ranked.first
    case .worst: return ranked.last
    // Of an even number the better one: the example is a substitute, which is closer to right than to wrong.
    case .middle: return ranked.count > 2 ? ranked[(ranked.count - 1) / 2] : nil
    }
  }

  /// The answer's lines between the item and the label.
  func rationale(_ outline: RationaleOutline) -> [String] {
    ["Asks: \(asks)"]
      + outline.aspects.map { aspect in
        let judgement = judgements[aspect.name] ?? (.unspecified, "none asked")
        return "\(aspect.name): \(judgement.verdict.rawValue) - \(judgement.reason)"
      }
  }
}
