import Foundation
import Relevance

/// The README.md of a student's folder.
enum ModelCard {
  static func text(
    _ settings: DistillationSettings, _ counts: TrainingData.Counts, _ labels: LabelSet,
    _ report: EvaluationReport<Evaluation>?
  ) -> String {
    let isPair = settings.student == .interaction
    let library = isPair ? "transformers" : "sentence-transformers"
    let task = isPair ? "text-classification" : "sentence-similarity"
    var text = """
      ---
      library_name: \(library)
      pipeline_tag: \(task)
      base_model: \(settings.baseModel)
      tags: [product-search, relevance, distillation]
      ---
      # \(isPair ? "Cross-encoder" : "Two-tower encoder") for product-search relevance

      Trained by `retort distill` from `\(settings.baseModel)`. \(use(isPair, labels))

      | | |
      |---|---|
      | labels, gains | \(labels.labels.map { "\($0.name) \($0.gain)" }.joined(separator: ", ")) |
      | losses | \(settings.losses.joined(separator: ", ")) |
      | pairs | \(counts.pairs), \(counts.labelled) with a human label, \(counts.taught) with a teacher's |
      \(calibration(settings))| epochs, batch, learning rate | \(settings.epochs), \(settings.batch), \(settings.learningRate) |
      | longest text | \(settings.maximumLength) tokens |
      | seed | \(settings.seed) |

      """
    if let report {
      let pairs = report.overall.counts
      text +=
        "\nOn \(pairs.pairs) held-out pairs of \(pairs.queries) queries, 95 % intervals over queries:\n\n"
      text += "| metric | value | from | to |\n|---|---|---|---|\n"
      for metric in Metric.allCases {
        let estimate = report.overall[metric]
        let cells = [estimate.value, estimate.low, estimate.high].map { value in
          value.map { String(format: "%.4f", $0) } ?? "–"
        }
        text += "| \(metric.rawValue) | \(cells.joined(separator: " | ")) |\n"
      }
    }
    return text
  }

  private static func calibration(_ settings: DistillationSettings) -> String {
    guard let fit = settings.teacherCalibration else { return "" }
    return String(
      format: "| the teacher's distributions | fitted to %d human labels, log loss %.3f to %.3f |\n",
      fit.pairs,
      fit.logLossBefore, fit.logLossAfter)
  }

  private static func use(_ isPair: Bool, _ labels: LabelSet) -> String {
    isPair
      ? "`AutoModelForSequenceClassification` loads it; the text pair is (query, title)."
      : "`SentenceTransformer` loads it; the cosine of a query's and a title's vector orders items."
  }
}
