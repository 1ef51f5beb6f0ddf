import Basics
import Foundation
import OpenCLRuntime
import Testing

/// Kernels that the tests build.
enum TestKernels {
  static let scale = """
    // scale(global float *trap) in a comment is no kernel
    kernel void scale(global const float *x, global float *y, float factor, int count) {
      const int i = get_global_id(0);
      if (i < count) y[i] = x[i] * factor;
    }
    kernel __attribute__((reqd_work_group_size(1, 1, 1))) void fill(global int *y, /* a, b */ uint value,
                                                                   ulong wide, local float *scratch) {
      scratch[0] = 1.0f;
      y[get_global_id(0)] = (int)(value + (uint)(wide >> 32));
    }
    """
}

/// A folder of its own that goes away with the last reference.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "retort-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var files: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }
}

extension OpenCLContext {
  /// A context without a cache on disk.
  convenience init(uncached device: OpenCLDevice, profiling: Bool = false) throws {
    try self.init(device: device, profiling: profiling, cache: BinaryCache(folder: nil))
  }

  func buffer(_ values: [Float]) throws -> OpenCLBuffer {
    let buffer = try makeBuffer(byteCount: values.count * 4)
    try values.withUnsafeBytes { try write($0, to: buffer) }
    return buffer
  }

  func floats(_ buffer: OpenCLBuffer, _ count: Int) throws -> [Float] {
    var values = [Float](repeating: .nan, count: count)
    try values.withUnsafeMutableBytes { try read(buffer, into: $0) }
    return values
  }

  /// `values · factor` by the test kernel.
  func scaled(_ values: [Float], by factor: Float, with program: OpenCLProgram) throws -> [Float] {
    let (x, y) = (try buffer(values), try makeBuffer(byteCount: values.count * 4))
    try launch(
      try program.kernel("scale"),
      [.buffer("x", x), .buffer("y", y), .float("factor", factor), .int("count", values.count)],
      global: (values.count, 1, 1))
    return try floats(y, values.count)
  }
}

/// The code of the error that `body` throws; records an issue where it throws none.
func errorOf(location: SourceLocation = #_sourceLocation, _ body: () throws -> Void) -> RetortError? {
  #expect(throws: RetortError.self, sourceLocation: location) { try body() }
}
