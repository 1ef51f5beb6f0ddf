/// What a device's arithmetic reaches over a stretch of time, for a yardstick beside a measurement.
///
/// A processor that others use too changes its speed from second to second; a peak measured once says little about
/// work measured later. A meter is asked right before and right after the work, for as long as the work takes.
public final class ArithmeticMeter {
  public enum Kind: Sendable {
    /// Chains of multiply-adds in Float32.
    case f32
    /// `mma.sync` on bfloat16; NVIDIA only.
    case matrixBF16
  }

  private let probe: DeviceProbe
  private let loop: ArithmeticLoop
  private let rounds: Int

  /// - Throws: what the driver says where it does not build or run the kernel.
  public init(_ device: OpenCLDevice, _ kind: Kind = .f32) throws {
    probe = try DeviceProbe(device)
    (loop, rounds) = try probe.arithmetic(kind)
  }

  /// GFLOP/s over about `seconds`, at least one launch.
  public func gigaflops(over seconds: Double) throws -> Double {
    var (time, work) = (0.0, 0.0)
    repeat {
      time += try probe.seconds { try loop.run(rounds) }
      work += loop.flopsPerRound * Double(rounds)
    } while time < seconds
    return work / time / 1e9
  }
}
