import Basics
import Foundation
import ModelFormats
import Tensors

/// Float32 tensors in a safetensors file, written from a device and read back to it without a change of bits.
struct TensorFile {
  typealias Named = (name: String, tensor: Tensor)

  private let file: SafetensorsFile
  private let tensors: [Named]

  /// - Throws: `diverged` where a number is not finite: a checkpoint is to be good to go on from.
  static func write(_ tensors: [Named], to path: String, from backend: any TrainingBackend) throws {
    var writer = SafetensorsWriter()
    for (name, tensor) in tensors {
      let values = try backend.read(tensor)
      guard values.allSatisfy(\.isFinite) else {
        throw RetortError(
          .diverged, "a trained number is not finite", field: name, remedy: Optimizer.divergenceRemedy)
      }
      try writer.add(
        tensor: name, dtype: .f32, shape: tensor.shape, bytes: values.withUnsafeBytes { Array($0) })
    }
    try writer.write(to: path)
  }

  /// Opens a file and checks that it holds just these tensors.
  ///
  /// - Throws: what ``SafetensorsFile`` throws; `jobConflict` naming a tensor that differs.
  init(path: String, _ tensors: [Named]) throws {
    file = try SafetensorsFile(path: path)
    self.tensors = tensors
    let names = Set(tensors.map(\.name))
    if let foreign = file.tensors.keys.filter({ !names.contains($0) }).min() {
      throw TensorFile.mismatch(path, foreign, "the model has no such tensor")
    }
    for (name, tensor) in tensors {
      guard let stored = file.tensors[name] else {
        throw TensorFile.mismatch(path, name, "the tensor is missing")
      }
      guard stored.shape == tensor.shape, stored.dtype == .f32 else {
        throw TensorFile.mismatch(
          path, name, "\(stored.dtype.rawValue) \(stored.shape) is stored, the model has f32 \(tensor.shape)")
      }
    }
  }

  /// Overwrites the tensors with what the file holds.
  func restore(on backend: any TrainingBackend) throws {
    for (name, tensor) in tensors {
      guard let stored = file.tensors[name] else { continue }
      let values = [Float](unsafeUninitializedCapacity: tensor.shape.count) { values, count in
        withExtendedLifetime(file) {
          UnsafeMutableRawBufferPointer(values).copyMemory(from: file.bytes(of: stored))
        }
        count = tensor.shape.count
      }
      try backend.write(values, to: tensor)
      file.release(stored)
    }
  }

  private static func mismatch(_ path: String, _ name: String, _ message: String) -> RetortError {
    RetortError(
      .jobConflict, message, file: path, field: name,
      remedy: "Resume with the model that this run began with, or begin anew in another folder.")
  }
}

extension Data {
  /// A file's bytes, which stay when the file is no longer mapped.
  init(copying file: MappedFile) { self = withExtendedLifetime(file) { Data(file.bytes) } }
}
