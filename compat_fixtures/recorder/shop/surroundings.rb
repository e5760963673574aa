# Makes waiting predictable and a bare chroot enough; nothing here changes what Sidekiq writes.
require "sidekiq/scheduled"
require "socket"

# The host of the captures. The variable DYNO could name it too, but the log would look different with it.
def Socket.gethostname
  "app-1"
end

# The poller's random waits: short where a case sets POLL; otherwise nearly as long as can be, so that a case that runs
# for ten seconds has ended before the first poll, however busy the machine is.
module NoRandomWaits
  private

  def rand(*given)
    return super unless given.empty?
    ENV["POLL"] ? 0.02 : 0.9
  end
end
Sidekiq::Scheduled::Poller.prepend(NoRandomWaits)

# A chroot without /proc: Sidekiq reads its memory there at each heartbeat and would never get one out.
unless File.exist?("/proc/#{$$}/status")
  Dir.mkdir("/proc/#{$$}") unless Dir.exist?("/proc/#{$$}")
  File.write("/proc/#{$$}/status", "VmRSS:\t   40000 kB\n")
  mine = $$
  at_exit do
    if $$ == mine
      File.delete("/proc/#{mine}/status")
      Dir.rmdir("/proc/#{mine}")
    end
  end
end
