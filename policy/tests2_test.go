package policy_test
import ("testing";"fmt";"time"
"github.com/lockkeeper/lockkeeper/authz/policytest"
"github.com/lockkeeper/lockkeeper/authz"
"github.com/lockkeeper/lockkeeper/policy")
func TestZZ(t *testing.T){ 
 t0:=time.Now()
 rep,err:=policytest.Run(t.Context(),policy.Files(),nil)
 fmt.Println(err,len(rep.Results),time.Since(t0))
 for _,r:=range rep.Results{for _,l:=range r.Lines(){fmt.Println(l)}}
 for _,r:=range rep.Coverage.Rules{if !r.Used {fmt.Println("UNUSED",r)}}
 fmt.Println(rep.Coverage.Permissions,rep.Coverage.Roles)
 for _,f:=range authz.Lint(policy.Files()){fmt.Println(f)}
}
