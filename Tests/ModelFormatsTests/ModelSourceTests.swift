import Basics
import Foundation
import ModelFormats
import Testing

@Suite struct ModelSourceTests {
  /// The error of opening a path as a model.
  private func error(_ path: String) -> RetortError? { thrownError { _ = try ModelSource(path: path) } }

  @Test func bothFormatsAnswerToTheSameNames() throws {
    try withFolder { folder in
      try SampleModel.gguf().write(to: folder + "/model.gguf")
      let gguf = try ModelSource(path: folder)
      try FileManager.default.createDirectory(atPath: folder + "/hf", withIntermediateDirectories: true)
      try SampleModel.writeSharded(to: folder + "/hf")
      let sharded = try ModelSource(path: folder + "/hf")
      for (index, tensor) in SampleModel.tensors.enumerated() {
        for source in [gguf, sharded] {
          let stored = try source.tensor(tensor.name)
          #expect(stored.shape == tensor.shape)
          #expect(
            Array(stored.bytes()) == SampleModel.bytes(stored.dtype, tensor.shape, seed: UInt64(index)))
        }
        #expect(try gguf.tensor(tensor.name).name == tensor.name)
        #expect(try sharded.tensor(tensor.name).name == SampleModel.huggingFaceNames[index])
      }
      let parameters = SampleModel.tensors.reduce(0) { $0 + $1.shape.count }
      #expect(sharded.parameterCount == parameters)
      #expect(gguf.parameterCount == parameters + 3 * 256)
      #expect(sharded.tensors.map(\.name) == SampleModel.huggingFaceNames.sorted())
    }
  }

  @Test func aMissingTensorIsNamedInBothFormatsWords() throws {
    try withFolder { folder in
      let name = "blk.0.ffn_gate.weight"
      try SampleModel.gguf(without: name).write(to: folder + "/small.gguf")
      let gguf = try ModelSource(path: folder + "/small.gguf")
      let error = thrownError { _ = try gguf.tensor(name) }
      #expect(error?.field == name && error?.message == "the tensor is missing")
      #expect(!gguf.hasTensor(name) && gguf.hasTensor("blk.0.ffn_up.weight"))
      let other = "model.layers.0.mlp.gate_proj.weight"
      try write(Array(SampleModel.config.utf8), to: folder + "/config.json")
      let tensors = try SampleModel.safetensors(0..<SampleModel.tensors.count, without: other)
      try tensors.write(to: folder + "/model.safetensors")
      let single = try ModelSource(path: folder)
      let missing = thrownError { _ = try single.tensor(name) }
      #expect(missing?.field == other && missing?.message.contains(name) == true)
      #expect(!single.hasTensor(name) && single.hasTensor("blk.0.ffn_up.weight"))
    }
  }

  @Test func aPathThatIsNotThereOrHoldsNoModelIsNamed() throws {
    try withFolder { folder in
      #expect(error(folder + "/missing")?.code == .fileUnavailable)
      #expect(error(folder)?.file == folder + "/config.json")
      try write(Array(SampleModel.config.utf8), to: folder + "/config.json")
      #expect(error(folder)?.file == folder + "/model.safetensors")
      #expect(error(folder)?.code == .fileUnavailable)
      try FileManager.default.createDirectory(
        atPath: folder + "/model.safetensors", withIntermediateDirectories: true)
      #expect(error(folder)?.message.contains("not a regular file") == true)
    }
  }

  @Test(arguments: ["../out.safetensors", "/etc/passwd", "a/b.safetensors", "..", "."])
  func aShardOutsideTheFolderIsRefused(name: String) throws {
    try withFolder { folder in
      try SampleModel.writeSharded(to: folder)
      let index = SampleModel.index.replacingOccurrences(of: SampleModel.shardNames[1], with: name)
      try write(Array(index.utf8), to: folder + "/model.safetensors.index.json")
      let error = error(folder)
      #expect(error?.field == "weight_map")
      #expect(error?.message.contains("leaves the folder") == true)
    }
  }

  @Test func aShardThatIsMissingIsNamed() throws {
    try withFolder { folder in
      try SampleModel.writeSharded(to: folder)
      try FileManager.default.removeItem(atPath: folder + "/" + SampleModel.shardNames[1])
      let error = error(folder)
      #expect(error?.code == .fileUnavailable)
      #expect(error?.file == folder + "/" + SampleModel.shardNames[1])
    }
  }

  @Test func aTensorThatIsNotInTheShardOfTheIndexIsNamed() throws {
    try withFolder { folder in
      try SampleModel.writeSharded(to: folder)
      let lost = SampleModel.huggingFaceNames[7]
      try SampleModel.safetensors(5..<SampleModel.tensors.count, without: lost).write(
        to: folder + "/" + SampleModel.shardNames[1])
      let error = error(folder)
      #expect(error?.field == lost)
      #expect(error?.message == "the tensor is not in \(SampleModel.shardNames[1])")
    }
  }

  @Test(arguments: ["{}", "{\"weight_map\": []}", "{\"weight_map\": {\"a\": 1}}", "{\"weight_map\": null}"])
  func anIndexWithoutAMapOfNamesIsRefused(text: String) throws {
    try withFolder { folder in
      try SampleModel.writeSharded(to: folder)
      try write(Array(text.utf8), to: folder + "/model.safetensors.index.json")
      #expect(error(folder)?.field == "weight_map")
    }
  }
}

@Suite struct FiniteScalesTests {
  /// Byte offsets of each type's half-precision scales, from ggml's block layouts.
  static let scales: [(dtype: DType, offsets: [Int])] = [
    (.q4_0, [0]), (.q4_1, [0, 2]), (.q5_0, [0]), (.q5_1, [0, 2]), (.q8_0, [0]), (.q4_K, [0, 2]),
    (.q5_K, [0, 2]), (.q6_K, [208]),
  ]

  private func error(_ dtype: DType, _ shape: Shape, _ bytes: [UInt8]) throws -> RetortError? {
    var writer = try SampleModel.gguf()
    try writer.add(tensor: "damaged", dtype: dtype, shape: shape, bytes: bytes)
    return try withFile(writer.encoded()) { path in
      let tensor = try ModelSource(path: path).tensor("damaged")
      return thrownError { try tensor.validateFiniteScales() }
    }
  }

  @Test(arguments: scales.indices)
  func aScaleThatIsNotFiniteIsNamedWithTensorAndBlock(index: Int) throws {
    let (dtype, offsets) = Self.scales[index]
    let shape: Shape = [5, dtype.blockSize]
    let sound = SampleModel.bytes(dtype, shape, seed: 5)
    #expect(try error(dtype, shape, sound) == nil)
    for offset in offsets {
      // Infinity, minus infinity and two payloads of NaN.
      for half: UInt16 in [0x7C00, 0xFC00, 0x7E00, 0x7C01] {
        for block in [0, 3, 4] {
          var bytes = sound
          bytes[block * dtype.blockBytes + offset] = UInt8(half & 0xFF)
          bytes[block * dtype.blockBytes + offset + 1] = UInt8(half >> 8)
          let error = try error(dtype, shape, bytes)
          #expect(error?.code == .malformedFile)
          #expect(error?.field == "damaged" && error?.position == "block \(block)")
        }
      }
      var largest = sound
      largest[offset] = 0xFF
      largest[offset + 1] = 0x7B
      #expect(try error(dtype, shape, largest) == nil)
    }
  }

  @Test func everyQuantisedTypeIsListed() {
    #expect(Set(Self.scales.map(\.dtype)) == Set(DType.allCases.filter(\.isQuantized)))
  }

  @Test func otherBytesOfABlockAndPlainTypesMayHoldAnything() throws {
    for (dtype, offsets) in Self.scales {
      var bytes = [UInt8](repeating: 0xFF, count: dtype.blockBytes)
      for offset in offsets { bytes[offset + 1] = 0 }
      #expect(try error(dtype, [1, dtype.blockSize], bytes) == nil)
    }
    #expect(try error(.f16, [2], [0xFF, 0xFF, 0xFF, 0xFF]) == nil)
  }
}
