import Basics
import Foundation
import ModelFormats
import Testing

/// Damaged files are read whole or refused with an error that says where; they never stop the process.
///
/// 13,000 mutations in all, each a function of its seed and number.
@Suite struct FuzzTests {
  @Test(arguments: 0..<8)
  func aDamagedGGUFFileIsReadOrRefused(seed: Int) throws {
    let writer = try SampleModel.gguf()
    let original = writer.encoded()
    let header = try withFile(original) { path in
      try #require(try GGUFFile(path: path).tensors.first).range.lowerBound
    }
    var outcomes = Outcomes()
    try withFolder { folder in
      let path = folder + "/model.gguf"
      for mutation in 0..<1000 {
        var draw = Draw(seed: UInt64(seed * 1000 + mutation))
        try write(Mutation.mutate(original, header: header, &draw), to: path)
        outcomes.count(mutation) { try readEverything(gguf: path) }
      }
    }
    // Both ways are taken often, else the mutations would be too mild or too wild to find anything.
    #expect(outcomes.accepted > 50, "\(outcomes)")
    #expect(outcomes.refusedCount > 300, "\(outcomes)")
  }

  @Test(arguments: 0..<2)
  func aDamagedSafetensorsFileIsReadOrRefused(seed: Int) throws {
    let original = try SampleModel.safetensors(0..<SampleModel.tensors.count).encoded()
    let length = original[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let json = Array(original[8..<8 + length])
    let data = Array(original[(8 + length)...])
    var outcomes = Outcomes()
    try withFolder { folder in
      try write(Array(SampleModel.config.utf8), to: folder + "/config.json")
      for mutation in 0..<1000 {
        var draw = Draw(seed: UInt64(100_000 + seed * 1000 + mutation))
        let damaged =
          mutation % 2 == 0
          ? Mutation.mutate(original, header: 8 + length, &draw)
          : safetensors(header: Mutation.mutate(json: json, &draw), data: data)
        try write(damaged, to: folder + "/model.safetensors")
        outcomes.count(mutation) { try readEverything(model: folder) }
      }
    }
    #expect(outcomes.accepted > 15, "\(outcomes)")
    #expect(outcomes.refusedCount > 300, "\(outcomes)")
  }

  @Test(arguments: ["config.json", "model.safetensors.index.json", SampleModel.shardNames[1]])
  func aDamagedFileOfAShardedFolderIsReadOrRefused(name: String) throws {
    var outcomes = Outcomes()
    try withFolder { folder in
      try SampleModel.writeSharded(to: folder)
      try readEverything(model: folder)
      let path = folder + "/" + name
      let original = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
      for mutation in 0..<1000 {
        var draw = Draw(seed: UInt64(200_000 + mutation))
        let damaged =
          mutation % 2 == 0
          ? Mutation.mutate(original, header: 1000, &draw) : Mutation.mutate(json: original, &draw)
        try write(damaged, to: path)
        outcomes.count(mutation) { try readEverything(model: folder) }
      }
    }
    #expect(outcomes.accepted > 5, "\(outcomes)")
    #expect(outcomes.refusedCount > 300, "\(outcomes)")
  }
}
