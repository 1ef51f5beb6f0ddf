import Basics
import Foundation
import ModelFormats
import Testing

/// What came of reading a damaged model.
struct Outcomes {
  var accepted = 0
  var refused: [RetortError.Code: Int] = [:]

  /// Counts what `body` does; an error of another type, or one that does not say where and what to do, is
  /// recorded as an issue.
  mutating func count(_ mutation: Int, _ body: () throws -> Void) {
    do {
      try body()
      accepted += 1
    } catch let error as RetortError {
      refused[error.code, default: 0] += 1
      #expect(error.file != nil && !error.message.isEmpty && !error.remedy.isEmpty, "mutation \(mutation)")
    } catch {
      Issue.record("mutation \(mutation) threw \(error)")
    }
  }

  var refusedCount: Int { refused.values.reduce(0, +) }
}

/// Lets a `RetortError` pass, for a question that a file may answer with one; any other error goes on.
private func allowing<Value>(_ body: () throws -> Value) throws {
  do { _ = try body() } catch is RetortError {}
}

/// Checks that every tensor lies within its file and none shares a byte with another: a read past the end of a
/// mapping need not fault, so the ranges are judged and not only touched.
private func expectSound(_ tensors: some Sequence<TensorInfo>, path: String) throws {
  let attributes = try FileManager.default.attributesOfItem(atPath: path)
  let size = try #require((attributes[.size] as? NSNumber)?.intValue)
  var end = 0
  for info in tensors.sorted(by: {
    ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
  }) {
    #expect(info.range.lowerBound >= end && info.range.upperBound <= size, "\(info)")
    end = info.range.upperBound
  }
}

/// Opens a GGUF file and asks it for everything: each key by each accessor and each tensor's bytes.
func readEverything(gguf path: String) throws {
  let file = try GGUFFile(path: path)
  for key in file.metadata.keys {
    try allowing { try file.string(key) }
    try allowing { try file.integer(key) }
    try allowing { try file.float(key) }
    try allowing { try file.bool(key) }
    try allowing { try file.strings(key) }
    try allowing { try file.integers(key) }
    try allowing { try file.floats(key) }
    #expect(file.has(key) && file.arrayCount(key) >= 0)
  }
  try expectSound(file.tensors, path: path)
  for info in file.tensors {
    #expect(Array(file.bytes(of: info)).count == info.dtype.byteCount(elements: info.shape.count))
    #expect(file.tensor(named: info.name) == info)
    file.release(info)
  }
  try allowing { try ModelConfiguration(gguf: file) }
  try readEverything(model: path)
}

/// Opens a model and asks for its configuration and each tensor, by the names a loader uses and by its own.
func readEverything(model path: String) throws {
  let source = try ModelSource(path: path)
  #expect(source.configuration.heads % source.configuration.kvHeads == 0)
  #expect(source.parameterCount >= 0)
  if case .huggingFace(_, let shards) = source.format {
    for shard in shards { try expectSound(shard.tensors.values, path: shard.path) }
  }
  for name in SampleModel.tensors.map(\.name) + source.tensors.map(\.name) {
    guard source.hasTensor(name) else {
      try allowing { try source.tensor(name) }
      continue
    }
    let stored = try source.tensor(name)
    #expect(Array(stored.bytes()).count == stored.dtype.byteCount(elements: stored.shape.count))
    try allowing { try stored.validateFiniteScales() }
    stored.release()
  }
}
