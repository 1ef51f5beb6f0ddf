import Foundation
import Relevance

@testable import Distillation

/// A run's folder made for a test, with its inputs beside it; gone with the value.
final class RunFolders {
  let root: URL
  static let labels = ["irrelevant", "partial", "exact"]

  init() throws {
    root = FileManager.default.temporaryDirectory.appendingPathComponent("report-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  func path(_ name: String) -> String { root.appendingPathComponent(name).path }

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: root.appendingPathComponent(name))
  }

  func write(_ name: String, lines: [[String: Any]]) throws {
    try write(name, lines.map { try RunFolders.json($0) + "\n" }.joined())
  }

  static func json(_ object: [String: Any]) throws -> String {
    String(
      decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]), as: UTF8.self)
  }

  /// Sixteen dev pairs of four queries and the teacher's records of them.
  func writeInputs(query: String = "drill", rationale: String = "Asks: a drill") throws {
    try write(
      "dev.jsonl",
      lines: (0..<16).map { index in
        [
          "pair_id": "p\(index)", "query_id": "q\(index / 4)", "query": "\(query) \(index / 4)",
          "title": "item \(index)", "label": RunFolders.labels[index % 3],
        ]
      })
    try write(
      "teacher.jsonl",
      lines: (0..<16).map { index in
        [
          "pair_id": "p\(index)", "label": RunFolders.labels[index % 3],
          "probabilities": RunFolders.distribution(index % 3, 0.8), "rationale": rationale,
          "verdicts": ["brand": index % 2 == 0 ? "match" : "unspecified", "use": NSNull()],
          "tokens": ["prompt": 10, "generated": 20, "jumped": 5], "truncated": index == 0, "model": "tiny",
          "prompt_hash": "abc",
        ]
      })
  }

  static func distribution(_ label: Int, _ probability: Double) -> [String: Double] {
    var result: [String: Double] = [:]
    for (index, name) in labels.enumerated() {
      result[name] = index == label ? probability : (1 - probability) / 2
    }
    return result
  }

  /// A finished run; `shift` moves the prediction of every pair whose number it divides to the next label.
  @discardableResult
  func writeRun(
    _ name: String, student: String = "interaction", losses: [String] = ["hard", "score"], shift: Int = 5
  ) throws -> String {
    try FileManager.default.createDirectory(
      at: root.appendingPathComponent(name), withIntermediateDirectories: true)
    let labels: [[String: Any]] = RunFolders.labels.enumerated().map { ["name": $1, "gain": Double($0) / 2] }
    try write(
      "\(name)/retort.json",
      RunFolders.json([
        "format": 1, "student": student, "aspects": ["brand", "use"], "max_length": 64, "base_model": "tiny",
        "labels": labels,
      ]))
    try write(
      "\(name)/settings.json",
      RunFolders.json([
        "losses": losses, "seed": 3, "temperature": 2.5,
        "inputs": [
          "dev": ["path": path("dev.jsonl"), "rows": 16], "teacher": ["path": path("teacher.jsonl")],
        ],
      ]))
    var log: [[String: Any]] = []
    for step in 1...6 {
      let part: [String: Double] = ["hard": 1 / Double(step), "score": 0.5]
      log.append([
        "step": step, "epoch": step / 4, "loss": 2 / Double(step), "parts": part, "learning_rate": 1e-5,
        "gradient_norm": 1.5, "rows": 8, "tokens": 100,
      ])
    }
    let dev: [String: Any] = ["auc": 0.75, "macro_f1": ["value": 0.5]]
    log.append(["step": 6, "epoch": 1, "dev": dev])
    try write("\(name)/training.jsonl", lines: log)
    try write("\(name)/timing.jsonl", lines: (1...6).map { ["step": $0, "step_seconds": 0.5] })
    let predicted = (0..<16).map { $0 % shift == 0 ? ($0 + 1) % 3 : $0 % 3 }
    try write(
      "\(name)/dev_predictions.jsonl",
      lines: (0..<16).map { index in
        [
          "pair_id": "p\(index)", "label": RunFolders.labels[predicted[index]],
          "probabilities": RunFolders.distribution(predicted[index], 0.6),
          "verdicts": ["brand": index % 4 == 0 ? "match" : "unspecified"],
        ]
      })
    try writeEvaluation(name, predicted)
    return path(name)
  }

  private func writeEvaluation(_ name: String, _ predicted: [Int]) throws {
    let labels = try LabelSet(
      RunFolders.labels.enumerated().map { Label(name: $1, gain: Double($0) / 2) })
    let gold = (0..<16).map {
      GoldPair(
        pairID: "p\($0)", queryKey: "q\($0 / 4)", query: "drill", label: $0 % 3, value: Double($0 % 3) / 2)
    }
    let judged = try JudgedPairs(
      labels: labels, gold: gold,
      predictions: predicted.map { label in
        Prediction(
          distribution: try LabelDistribution(
            labels: labels, probabilities: (0..<3).map { $0 == label ? 0.6 : 0.2 }))
      })
    let bootstrap = try QueryBootstrap(resamples: 50, seed: 1)
    let evaluation = Evaluation(judged, bootstrap: bootstrap)
    var object = try RunFolders.object(evaluation)
    object["slices"] = ["few_pairs": try RunFolders.object(evaluation)]
    object["coverage"] = ["evaluated": 16, "missing": 0, "unmatched": 0, "unlabelled": 0, "bad_rows": 0]
    object["settings"] = try RunFolders.object(
      EvaluationSettings(
        input: "dev.jsonl", predictions: ["p"], relevant: ["exact"], spearman: .gain, bootstrap: bootstrap,
        fewPairs: 3, train: nil, rareWords: 1))
    try write("\(name)/evaluation.json", RunFolders.json(object))
  }

  private static func object(_ value: some Encodable) throws -> [String: Any] {
    let data = try JSONEncoder().encode(value)
    return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
  }
}
